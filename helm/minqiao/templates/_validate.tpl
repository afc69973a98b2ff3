{{/* What cannot work is refused before anything is installed, with the way out. */}}
{{- define "minqiao.validate" -}}
{{- if not .Values.devMode -}}
{{- if not .Values.tls.existingSecret -}}
{{- fail "tls.existingSecret is empty: create a secret with server.pem, server.key and authority.pem, and name it (or set devMode=true to try the chart out)" -}}
{{- end -}}
{{- if not .Values.access.existingSecret -}}
{{- fail "access.existingSecret is empty: create a secret with access.yaml (users and connectors), and name it (or set devMode=true to try the chart out)" -}}
{{- end -}}
{{- end -}}
{{- if eq (int .Values.service.httpPort) (int .Values.service.metricsPort) -}}
{{- fail "service.httpPort and service.metricsPort must differ" -}}
{{- end -}}
{{- $parameters := .Values.parameters.json | fromJsonArray -}}
{{- if and $parameters (kindIs "string" (first $parameters)) -}}
{{- fail "parameters.json is not a JSON list" -}}
{{- end -}}
{{- end -}}
