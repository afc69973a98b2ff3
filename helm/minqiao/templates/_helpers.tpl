{{/* Names and labels. */}}
{{- define "minqiao.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{- define "minqiao.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 63 | trimSuffix "-" -}}
{{- else if contains (include "minqiao.name" .) .Release.Name -}}
{{- .Release.Name | trunc 63 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name (include "minqiao.name" .) | trunc 63 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "minqiao.selectorLabels" -}}
app.kubernetes.io/name: {{ include "minqiao.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "minqiao.labels" -}}
{{ include "minqiao.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
app.kubernetes.io/part-of: minqiao
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end -}}

{{- define "minqiao.serviceAccountName" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "minqiao.fullname" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- default "default" .Values.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{/* The hub's configuration: the chart's own settings over `config`. */}}
{{- define "minqiao.config" -}}
{{- $own := dict
  "data_dir" "/var/lib/minqiao"
  "http" (dict "listen" (printf "0.0.0.0:%v" .Values.service.httpPort) "certificate" "/etc/minqiao/tls/server.pem" "private_key" "/etc/minqiao/tls/server.key" "client_authority" "/etc/minqiao/tls/authority.pem")
  "operations" (dict "listen" (printf "0.0.0.0:%v" .Values.service.metricsPort))
  "access" (dict "list" "/etc/minqiao/access/access.yaml" "parameters" "/etc/minqiao/config/parameters.json")
  "log" (dict "filter" .Values.log.filter "format" .Values.log.format)
-}}
{{- mergeOverwrite (deepCopy .Values.config) $own | toToml -}}
{{- end -}}
