//! The page that a browser sees at `/`: what this is, what is on it, where to go on. Public facts only.

use axum::extract::State;
use axum::response::Html;

use crate::http::{Access, ROUTES};
use crate::state::AppState;

const STYLE: &str = "body{font:16px/1.6 system-ui,'Noto Sans CJK SC',sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#1a2a33}\
h1{margin-bottom:0}table{border-collapse:collapse;width:100%;margin:1rem 0}td,th{border-bottom:1px solid #d5dde2;padding:.35rem .6rem;text-align:left;vertical-align:top}\
code{background:#eef3f6;padding:.1rem .3rem;border-radius:3px}.n{text-align:right}small{color:#51646f}";

/// `GET /`.
pub(crate) async fn page(State(state): State<AppState>) -> Html<String> {
    let catalogue = state.catalogue;
    let mut departments = String::new();
    for department in catalogue.departments() {
        let items: Vec<_> = catalogue.items().iter().filter(|item| item.department == department.code).collect();
        let links: Vec<String> = items
            .iter()
            .map(|item| format!("<a href=\"/v1/catalogue/{}\">{}</a>", item.code, escape(&item.name_zh)))
            .collect();
        departments.push_str(&format!(
            "<tr><td>{}<br><small>{}</small></td><td class=n>{}</td><td>{}</td></tr>",
            escape(&department.name_zh),
            escape(&department.name_en),
            items.len(),
            links.join("、"),
        ));
    }
    let mut routes = String::new();
    for route in ROUTES {
        let who = match route.access {
            Access::Public => "公开 public",
            Access::Connector => "接入方 connector",
            Access::User => "用户 user",
            Access::Reader => "部门 department",
        };
        routes.push_str(&format!(
            "<tr><td><code>{} {}</code></td><td>{who}</td><td>{}</td></tr>",
            route.method,
            escape(route.path),
            escape(route.summary),
        ));
    }
    Html(format!(
        "<!doctype html><html lang=zh-CN><head><meta charset=utf-8><meta name=viewport content='width=device-width'>\
         <title>民桥 Minqiao</title><style>{STYLE}</style></head><body>\
         <h1>民桥 Minqiao</h1><p>社会救助数据交换平台 · Data-exchange hub for social assistance</p>\
         <p>{}<br><small>目录版本 catalogue version {}</small></p>\
         <h2>部门与信息项 Departments and items</h2>\
         <table><tr><th>部门</th><th class=n>信息项</th><th></th></tr>{departments}</table>\
         <h2>接口 Interface</h2><p>机器可读说明 <a href=\"/openapi.json\">/openapi.json</a></p>\
         <table><tr><th></th><th>谁可以调用</th><th></th></tr>{routes}</table></body></html>",
        escape(&catalogue.summary().to_string()),
        escape(catalogue.version()),
    ))
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
