"""Income and property of the declared families, from the same facts, as a data engineer writes it in SQL: no kinship, no
levels of evidence beyond the greatest wage of a month, no authorisation, no discrepancies, no categories."""
import json, os, resource, sys, time
import duckdb

facts, as_of = sys.argv[1:3]
with open(f"{facts}/keys.json") as file:
    KEYS = json.load(file)
have = {item for item in KEYS if os.path.exists(f"{facts}/{item}.parquet")}


def selected(item):
    """The greatest version of each key that was known at the moment, deletes left out."""
    return f"""SELECT * FROM (SELECT * FROM '{facts}/{item}.parquet' WHERE _received_at <= TIMESTAMPTZ '{as_of}'
      QUALIFY row_number() OVER (PARTITION BY {", ".join(KEYS[item])}
        ORDER BY _source_updated_at DESC NULLS LAST, _op, _content_hash DESC) = 1) WHERE _op <> 'delete'"""


PAID = "'1'"
# (item, person, amount, month)
MONTHLY_WAGES = [
    ("individual_income_tax", "citizen_id", "income_amount / coalesce(period_months, 1)", "tax_period", "income_item_code IN ('01','02','03','04')"),
    ("pension_contribution", "citizen_id", "contribution_base", "contribution_month", "scheme_code IN ('110','120') AND payer_kind_code = '1' AND contribution_base > 0"),
    ("provident_fund_account", "citizen_id", "contribution_base", "date_trunc('month', as_of_date)", "account_status_code = '1' AND contribution_base > 0"),
]
SPELL_WAGES = [
    ("employment_registration", "citizen_id", "declared_monthly_wage", "started_on", "ended_on", "declared_monthly_wage > 0"),
    ("public_welfare_post", "citizen_id", "monthly_subsidy", "started_on", "ended_on", "true"),
]
OTHER_MONTHLY = [
    ("individual_income_tax", "citizen_id", "income_amount - coalesce(cost_amount, 0)", "tax_period", "income_item_code NOT IN ('01','02','03','04')"),
    ("employee_pension_benefit", "citizen_id", "monthly_amount", "pay_month", f"pay_status_code = {PAID}"),
    ("resident_pension_benefit", "citizen_id", "local_basic_amount + personal_account_amount + coalesce(other_amount, 0)", "pay_month", f"pay_status_code = {PAID}"),
    ("unemployment_benefit", "citizen_id", "amount", "pay_month", f"status_code = {PAID}"),
    ("work_injury_benefit", "citizen_id", "amount", "pay_month", f"pay_status_code = {PAID}"),
    ("provident_fund_withdrawal", "citizen_id", "amount", "withdrawn_on", "reason_code IN ('05','06','07','10')"),
    ("agri_subsidy_payment", "citizen_id", "amount", "paid_on", "true"),
]
OTHER_SPELLS = [
    ("land_contract_right", "contractor_citizen_id", "annual_transfer_income / 12", "term_from", "term_to", "annual_transfer_income > 0"),
]
BALANCES = [
    ("bank_deposit", "citizen_id", "balance_amount", "institution_code", "queried_at", "account_status_code IS DISTINCT FROM '4'"),
    ("securities_holding", "citizen_id", "market_value", "institution_code", "queried_at", "true"),
    ("nonbank_payment_balance", "citizen_id", "balance_amount", "institution_code", "queried_at", "product_type_code <> '04' AND account_status_code IS DISTINCT FROM '4'"),
    ("provident_fund_account", "citizen_id", "balance_amount", "account_token", "as_of_date", "account_status_code <> '3'"),
]
SUMS = [("insurance_policy", "holder_citizen_id", "cash_value", "product_type_code IN ('02','03','04') AND policy_status_code IN ('1','2')")]
THINGS = [
    ("motor_vehicle", "owner_citizen_id", "vehicle_status_code NOT IN ('B','E','M')"),
    ("real_estate_ownership", "owner_citizen_id", "right_status_code = '1'"),
    ("presale_contract", "buyer_citizen_id", "contract_status_code = '2' AND house_use_code = '10'"),
    ("farm_machinery", "owner_citizen_id", "equipment_status_code IN ('1','4','5')"),
    ("fishing_vessel", "owner_citizen_id", "equipment_status_code IN ('1','4','5')"),
]


def peak_rss():
    """Of this program; getrusage would carry over that of the one that started it."""
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) * 1024 for line in status if line.startswith("VmHWM"))


def union(parts):
    return " UNION ALL ".join(parts) if parts else "SELECT NULL, NULL, NULL, NULL WHERE false"


def monthly(of):
    return [f"SELECT '{i}' AS item, {p} AS person, date_trunc('month', {m}) AS month, {a} AS amount FROM {i} "
            f"WHERE {w} AND {p} IN (SELECT person FROM persons)" for i, p, a, m, w in of if i in have]


def spells(of):
    return [f"SELECT '{i}', {p}, month, {a} FROM {i}, months WHERE {w} AND {f} < month + INTERVAL 1 MONTH "
            f"AND coalesce({t}, DATE '9999-12-31') >= month AND {p} IN (SELECT person FROM persons)"
            for i, p, a, f, t, w in of if i in have]


def families(db):
    db.execute(f"""
    CREATE TABLE members AS
      SELECT DISTINCT m.application_no, m.citizen_id AS person, date_trunc('month', a.applied_at)::DATE AS base
      FROM declared_household_member m JOIN assistance_application a USING (application_no)
      WHERE a.applied_at <= TIMESTAMPTZ '{as_of}';
    CREATE TABLE persons AS SELECT DISTINCT person FROM members;
    CREATE TABLE months AS SELECT unnest(generate_series(
      (SELECT min(base) FROM members) - INTERVAL 12 MONTH, (SELECT max(base) FROM members), INTERVAL 1 MONTH)) AS month;
    CREATE TABLE wages AS
      SELECT person, month, max(amount) AS amount FROM (
        SELECT item, person, month, sum(amount) AS amount FROM ({union(monthly(MONTHLY_WAGES) + spells(SPELL_WAGES))})
        GROUP BY ALL) GROUP BY ALL;
    CREATE TABLE others AS SELECT * FROM ({union(monthly(OTHER_MONTHLY) + spells(OTHER_SPELLS))});
    CREATE TABLE income AS
      SELECT application_no, sum(amount) / 12 AS monthly FROM (
        SELECT m.application_no, w.amount FROM members m JOIN wages w USING (person)
          WHERE w.month >= m.base - INTERVAL 12 MONTH AND w.month < m.base
        UNION ALL
        SELECT m.application_no, o.amount FROM members m JOIN others o USING (person)
          WHERE o.month >= m.base - INTERVAL 12 MONTH AND o.month < m.base)
      GROUP BY application_no;
    """)
    balances = [f"""SELECT person, amount FROM (SELECT {p} AS person, {a} AS amount, {at},
        max({at}) OVER (PARTITION BY {p}, {k}) AS latest FROM {i} WHERE {w} AND {p} IN (SELECT person FROM persons))
        WHERE {at} = latest""" for i, p, a, k, at, w in BALANCES if i in have]
    sums = [f"SELECT {p}, {a} FROM {i} WHERE {w} AND {p} IN (SELECT person FROM persons)" for i, p, a, w in SUMS if i in have]
    things = [f"SELECT '{i}' AS thing, {p} AS person, count(*) AS n FROM {i} WHERE {w} AND {p} IN (SELECT person FROM persons) "
              f"GROUP BY ALL" for i, p, w in THINGS if i in have]
    db.execute(f"""
    CREATE TABLE property AS SELECT application_no, sum(amount) AS monetary FROM members JOIN
      ({union(balances + sums)}) USING (person) GROUP BY ALL;
    CREATE TABLE things AS SELECT application_no, thing, sum(n) AS n FROM members JOIN ({union(things)}) USING (person) GROUP BY ALL;
    """)
    answer = db.execute("""SELECT application_no, i.monthly, p.monetary FROM (SELECT DISTINCT application_no FROM members)
      LEFT JOIN income i USING (application_no) LEFT JOIN property p USING (application_no)""").fetchall()
    return answer


def timed(prepare):
    """Runs it in a database of its own whose tables `prepare` names; wall and processor seconds without the preparing."""
    db = duckdb.connect(config={"threads": os.cpu_count()})
    prepare(db)
    before, begun = resource.getrusage(resource.RUSAGE_SELF), time.perf_counter()
    answer = families(db)
    seconds, after = time.perf_counter() - begun, resource.getrusage(resource.RUSAGE_SELF)
    return answer, seconds, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def all_versions(db):
    for item in have:
        db.execute(f"CREATE VIEW {item} AS {selected(item)}")


def selected_before(db):
    for item in have:
        db.execute(f"CREATE TABLE {item} AS {selected(item)}")


answer, seconds, cpu_seconds = timed(all_versions)
peak = peak_rss()
_, seconds_selected_before, _ = timed(selected_before)
print(json.dumps({
    "name": f"DuckDB {duckdb.__version__}", "seconds": round(seconds, 3),
    "cpu_seconds": round(cpu_seconds, 3), "seconds_on_rows_selected_before": round(seconds_selected_before, 3),
    "applications": len(answer), "with_income": sum(1 for row in answer if row[1]),
    "peak_rss_bytes": peak,
}))
