"""The same file, the same checks, in SQL: GBK CSV to Parquet. No sealing, no bus, no table format, no duplicates.

DuckDB's extension for GB18030 stops at a character that lies across two of its buffers, so the text is converted by
iconv first, as anybody would do it; that time counts."""
import json, os, resource, subprocess, sys, time
import duckdb

source, target = sys.argv[1:3]
text = target + ".csv"
db = duckdb.connect(config={"threads": os.cpu_count()})

WEIGHTS = [7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2]
ID_SUM = " + ".join(f"{w} * (ascii(id[{i + 1}]) - 48)" for i, w in enumerate(WEIGHTS))
POWERS = [pow(3, i, 31) for i in range(17)]
ALPHABET = "0123456789ABCDEFGHJKLMNPQRTUWXY"
PAYER_SUM = " + ".join(f"{w} * (strpos('{ALPHABET}', payer[{i + 1}]) - 1)" for i, w in enumerate(POWERS))
ITEMS = ["工资薪金", "劳务报酬", "稿酬", "特许权使用费", "经营所得", "利息股息红利", "财产租赁", "财产转让", "偶然所得"]
CODES = " ".join(f"WHEN '{zh}' THEN '{n + 1:02}'" for n, zh in enumerate(ITEMS))


def day(column, form):
    return f"TRY_STRPTIME(\"{column}\", '{form}')"


def money(column):
    return f"TRY_CAST(replace(\"{column}\", ',', '') AS DECIMAL(18,2))"


def flag(column):
    return f"CASE \"{column}\" WHEN 'Y' THEN true WHEN 'N' THEN false END"


AMOUNTS = {
    "收入额": "income_amount", "费用": "cost_amount", "免税收入": "tax_exempt_amount",
    "减除社保公积金": "social_insurance_deduction", "专项附加扣除合计": "special_deduction",
    "应纳税所得额": "taxable_income", "已缴税额": "tax_paid",
}
amounts = ", ".join(f"{money(zh)} AS {name}" for zh, name in AMOUNTS.items())
amounts_read = " AND ".join(
    f"({name} IS NOT NULL OR \"{zh}\" IS NULL)" for zh, name in AMOUNTS.items() if name != "income_amount")

checked = f"""
WITH source AS (
  SELECT *, upper(trim("纳税人识别号(身份证号)")) AS id, upper(trim("扣缴义务人识别号")) AS payer
  FROM read_csv('{text}', header = true, all_varchar = true, delim = ',', quote = '"')
), parsed AS (
  SELECT id AS citizen_id, trim("纳税人姓名") AS full_name, payer AS payer_uscc, "扣缴义务人名称" AS payer_name,
    CASE "所得项目名称" {CODES} END AS income_item_code,
    CAST({day("税款所属期", "%Y年%-m月")} AS DATE) AS tax_period,
    TRY_CAST("所属期月数" AS INTEGER) AS period_months, {amounts},
    CAST({day("申报日期", "%Y年%-m月%-d日")} AS DATE) AS declared_on, "主管税务所" AS tax_authority_code,
    {flag("更正申报")} AS is_correction, {flag("解除合同补偿")} AS is_severance,
    {day("入库时间", "%Y年%-m月%-d日 %H:%M:%S")} AS source_updated_at,
    CASE "作废标志" WHEN 'N' THEN 'upsert' WHEN 'Y' THEN 'delete' END AS op,
    regexp_full_match(id, '[1-9][0-9]{{16}}[0-9X]')
      AND TRY_STRPTIME(substr(id, 7, 8), '%Y%m%d') <= TIMESTAMP '2026-07-20'
      AND id[18] = substr('10X98765432', ({ID_SUM}) % 11 + 1, 1) AS id_fits,
    payer = 'SELF' OR (regexp_full_match(payer, '[{ALPHABET}]{{18}}')
      AND payer[18] = substr('{ALPHABET}', (31 - ({PAYER_SUM}) % 31) % 31 + 1, 1)) AS payer_fits,
    "所属期月数" IS NULL OR TRY_CAST("所属期月数" AS INTEGER) IS NOT NULL AS months_read, {amounts_read} AS amounts_read
  FROM source
)
SELECT * EXCLUDE (id_fits, payer_fits, months_read, amounts_read) FROM parsed
WHERE id_fits AND payer_fits AND full_name <> '' AND income_item_code IS NOT NULL AND tax_period IS NOT NULL
  AND months_read AND amounts_read AND income_amount IS NOT NULL AND declared_on IS NOT NULL
  AND regexp_full_match(tax_authority_code, '[0-9]{{11}}') AND is_correction IS NOT NULL AND op IS NOT NULL
  AND source_updated_at IS NOT NULL
"""


def peak_rss():
    """Of this program; getrusage would carry over that of the one that started it."""
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) * 1024 for line in status if line.startswith("VmHWM"))


def cpu():
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(u.ru_utime + u.ru_stime for u in used)


before, begun = cpu(), time.perf_counter()
with open(text, "wb") as converted:
    subprocess.run(["iconv", "-f", "GBK", "-t", "UTF-8", source], stdout=converted, check=True)
converting = time.perf_counter() - begun
db.execute(f"COPY ({checked}) TO '{target}' (FORMAT parquet, COMPRESSION zstd)")
seconds = time.perf_counter() - begun
used = cpu() - before
accepted = db.execute(f"SELECT count(*) FROM '{target}'").fetchone()[0]
print(json.dumps({
    "name": f"DuckDB {duckdb.__version__}", "seconds": round(seconds, 3),
    "seconds_of_iconv": round(converting, 3), "cpu_seconds": round(used, 3),
    "accepted": accepted, "peak_rss_bytes": peak_rss(),
}))
