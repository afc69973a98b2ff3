//! The vault from outside: what is sealed opens, what was moved or changed does not, keys turn and stay private.

use std::os::unix::fs::PermissionsExt as _;
use std::process::{Command, Stdio};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BinaryArray, Date32Array, RecordBatch, StringArray, new_null_array};
use arrow::datatypes::{Date32Type, Schema};
use minqiao_core::{BatchEnvelope, BatchId, ProviderCode, Receipt, Timestamp};
use minqiao_schemas::{Catalogue, FieldType, Item, envelope};
use minqiao_vault::suite::by_name;
use minqiao_vault::{Vault, VaultError, VaultOptions};
use proptest::prelude::*;
use tempfile::TempDir;

struct Fixture {
    dir: TempDir,
    vault: Vault,
}

fn fixture(suite: &str) -> Fixture {
    let dir = TempDir::new().expect("a temporary directory");
    let vault = open(&dir, suite).expect("a vault");
    Fixture { dir, vault }
}

fn open(dir: &TempDir, suite: &str) -> Result<Vault, VaultError> {
    let suite = by_name(suite).expect("a suite");
    Vault::open(VaultOptions { suite, ..VaultOptions::at(dir.path().join("keys")) })
}

fn item(code: &str) -> &'static Item {
    Catalogue::embedded().item(code).expect("the catalogue has the item")
}

fn sent() -> BatchEnvelope {
    BatchEnvelope {
        provider: ProviderCode::new("civil-affairs.371002").expect("valid"),
        batch_id: BatchId::new("batch-1").expect("valid"),
        received_at: Timestamp(1_772_323_200_000),
    }
}

/// Rows with the given texts in text fields (`None` stays null); other fields get the row number in their type.
fn submission(item: &Item, texts: &[Option<&str>]) -> RecordBatch {
    let schema = item.submission_schema();
    let columns: Vec<ArrayRef> = schema
        .fields()
        .iter()
        .map(|field| match item.field(field.name()).map(|field| field.ty) {
            Some(FieldType::Utf8) => Arc::new(StringArray::from(texts.to_vec())) as ArrayRef,
            Some(FieldType::Date32) => Arc::new(Date32Array::from_iter_values(0..texts.len() as i32)),
            _ => new_null_array(field.data_type(), texts.len()),
        })
        .collect();
    RecordBatch::try_new(Arc::new(Schema::new(schema.fields().clone())), columns).expect("a batch")
}

fn sealed_fields(item: &Item) -> impl Iterator<Item = &str> {
    item.fields.iter().filter(|field| field.is_sealed()).map(|field| field.name.as_str())
}

#[test]
fn every_item_seals_to_its_sealed_schema_and_opens_again() {
    for suite in ["sm", "intl"] {
        let Fixture { vault, dir: _dir } = fixture(suite);
        for item in Catalogue::embedded().items() {
            let texts = [Some("张三丰"), None, Some("张三丰"), Some("371002199001011234")];
            let clear = submission(item, &texts);
            let sealed = vault.sealer().seal_batch(item, &clear, &sent()).expect("sealed");
            assert_eq!(sealed.schema(), item.sealed_schema());
            for name in sealed_fields(item) {
                let column = sealed.column_by_name(name).expect("the field is there").as_binary::<i32>();
                let opened = vault.unsealer().column_of(item, name, column).expect("opened");
                assert_eq!(&opened, clear.column_by_name(name).expect("the field was there"), "{} {name}", item.code);
            }
        }
    }
}

#[test]
fn no_byte_of_a_sealed_batch_is_the_clear_text() {
    let Fixture { vault, dir: _dir } = fixture("sm");
    let needle = "371002199001011234";
    for item in Catalogue::embedded().items() {
        // Clear text fields would hold the needle by design of the test: empty them.
        let clear = submission(item, &[Some(needle)]);
        let sealed = vault.sealer().seal_batch(item, &clear, &sent()).expect("sealed");
        for (field, column) in sealed.schema().fields().iter().zip(sealed.columns()) {
            if item.field(field.name()).is_some_and(|field| !field.is_sealed()) {
                continue;
            }
            let data = column.to_data();
            let found =
                data.buffers().iter().any(|b| b.as_slice().windows(needle.len()).any(|w| w == needle.as_bytes()));
            assert!(!found, "{} {} holds clear text", item.code, field.name());
        }
    }
}

#[test]
fn a_ciphertext_opens_only_where_it_was_sealed() {
    for suite in ["sm", "intl"] {
        let Fixture { vault, dir: _dir } = fixture(suite);
        let deposit = item("bank_deposit");
        let sealed =
            vault.sealer().seal_batch(deposit, &submission(deposit, &[Some("李秀兰")]), &sent()).expect("sealed");
        let [first, second] = [0, 1].map(|at| sealed_fields(deposit).nth(at).expect("two sealed fields"));
        let bytes = sealed.column_by_name(first).expect("there").as_binary::<i32>().value(0).to_vec();
        let unsealer = vault.unsealer();
        assert_eq!(unsealer.value(&deposit.code, first, &bytes).expect("opened"), "李秀兰");
        assert!(matches!(unsealer.value(&deposit.code, second, &bytes), Err(VaultError::Tampered)));
        assert!(matches!(unsealer.value("house_property", first, &bytes), Err(VaultError::Tampered)));
        for at in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[at] ^= 1;
            let refused = unsealer.value(&deposit.code, first, &changed);
            assert!(
                matches!(refused, Err(VaultError::Tampered | VaultError::UnknownKeyVersion { .. })),
                "byte {at} was changed unnoticed"
            );
        }
        for length in 0..bytes.len() {
            assert!(unsealer.value(&deposit.code, first, &bytes[..length]).is_err(), "cut to {length} bytes unnoticed");
        }
        let other = fixture(suite);
        assert!(other.vault.unsealer().value(&deposit.code, first, &bytes).is_err(), "another hub's key opened it");
    }
}

#[test]
fn a_column_with_one_changed_value_does_not_open() {
    let Fixture { vault, dir: _dir } = fixture("sm");
    let deposit = item("bank_deposit");
    let sealed =
        vault.sealer().seal_batch(deposit, &submission(deposit, &[Some("a"), Some("b")]), &sent()).expect("sealed");
    let name = sealed_fields(deposit).next().expect("a sealed field");
    let column = sealed.column_by_name(name).expect("there").as_binary::<i32>();
    let mut values: Vec<Vec<u8>> = column.iter().flatten().map(<[u8]>::to_vec).collect();
    *values[1].last_mut().expect("not empty") ^= 1;
    let changed = BinaryArray::from_iter_values(values);
    assert!(matches!(vault.unsealer().column(&deposit.code, name, &changed), Err(VaultError::Tampered)));
}

#[test]
fn nonces_do_not_repeat_within_a_field() {
    let Fixture { vault, dir: _dir } = fixture("sm");
    let deposit = item("bank_deposit");
    let clear = submission(deposit, &[Some("x"); 500]);
    let name = sealed_fields(deposit).next().expect("a sealed field");
    let mut nonces = std::collections::HashSet::new();
    for _ in 0..20 {
        let sealed = vault.sealer().seal_batch(deposit, &clear, &sent()).expect("sealed");
        let column = sealed.column_by_name(name).expect("there").as_binary::<i32>();
        assert!(column.iter().flatten().all(|value| nonces.insert(value[4..16].to_vec())), "a nonce repeated");
    }
}

#[test]
fn tokens_join_across_items_and_match_single_tokens() {
    let Fixture { vault, dir: _dir } = fixture("sm");
    let number = "371002199001011234";
    let tokens = vault.tokens();
    let expected = tokens.person_token(number);
    for item in Catalogue::embedded().items() {
        let texts = [Some(number), None, Some(number)];
        let sealed = vault.sealer().seal_batch(item, &submission(item, &texts), &sent()).expect("sealed");
        let subject = item.subject_field();
        let column = sealed.column_by_name(&subject.token_column()).expect("a token column").as_fixed_size_binary();
        assert_eq!(column.value(0), expected.0, "{}", item.code);
        assert_eq!(column.value(2), expected.0, "{}", item.code);
        assert!(column.is_null(1));
    }
    assert_ne!(tokens.account_token(number), expected);
    assert_ne!(tokens.field_token("certificate_no", number), expected);
}

#[test]
fn a_record_key_is_the_same_by_row_and_by_value() {
    let Fixture { vault, dir: _dir } = fixture("sm");
    for code in ["bank_deposit", "subsistence_allowance_household"] {
        let item = item(code);
        let sealed = vault.sealer().seal_batch(item, &submission(item, &[Some("N-1")]), &sent()).expect("sealed");
        let by_row = sealed.column_by_name(envelope::KEY).expect("a key").as_fixed_size_binary().value(0).to_vec();
        let texts: Vec<&str> = item
            .natural_key
            .iter()
            .map(|name| match item.field(name).expect("a field").ty {
                FieldType::Utf8 => "N-1",
                FieldType::Date32 => "1970-01-01",
                _ => "",
            })
            .collect();
        assert_eq!(vault.tokens().record_key(code, texts).0.as_slice(), by_row);
    }
}

#[test]
fn the_content_hash_sees_every_field_and_nothing_else() {
    let Fixture { vault, dir: _dir } = fixture("sm");
    let item = item("bank_deposit");
    let hash = |batch: &RecordBatch, batch_id: &str| -> String {
        let sent = BatchEnvelope { batch_id: BatchId::new(batch_id).expect("valid"), ..sent() };
        let sealed = vault.sealer().seal_batch(item, batch, &sent).expect("sealed");
        sealed.column_by_name(envelope::CONTENT_HASH).expect("a hash").as_string::<i32>().value(0).to_owned()
    };
    let base = submission(item, &[Some("v")]);
    let original = hash(&base, "one");
    assert_eq!(original.len(), 64);
    assert_eq!(hash(&base, "two"), original, "the envelope is not content");
    for (at, field) in item.fields.iter().enumerate() {
        let mut columns = base.columns().to_vec();
        let was_null = columns[at].is_null(0);
        columns[at] = match field.ty {
            FieldType::Utf8 => Arc::new(StringArray::from(vec!["w"])),
            FieldType::Date32 => Arc::new(Date32Array::from(vec![1])),
            _ if was_null => continue,
            _ => new_null_array(columns[at].data_type(), 1),
        };
        let changed = RecordBatch::try_new(base.schema(), columns).expect("a batch");
        assert_ne!(hash(&changed, "one"), original, "{} is not in the hash", field.name);
    }
}

#[test]
fn rotation_keeps_old_ciphertexts_tokens_and_signatures() {
    let Fixture { vault, dir } = fixture("sm");
    let deposit = item("bank_deposit");
    let clear = submission(deposit, &[Some("李秀兰")]);
    let name = sealed_fields(deposit).next().expect("a sealed field");
    let seal = |vault: &Vault| {
        let sealed = vault.sealer().seal_batch(deposit, &clear, &sent()).expect("sealed");
        sealed.column_by_name(name).expect("there").as_binary::<i32>().value(0).to_vec()
    };
    let reader = open(&dir, "sm").expect("a second process");
    let (old, token) = (seal(&vault), vault.tokens().person_token("x"));
    let signed = vault.signer().sign(b"report").expect("signed");
    let versions = vault.rotate().expect("rotated");
    assert_eq!((versions.data_active, versions.data.as_slice()), (2, [1, 2].as_slice()));
    assert_ne!(versions.sign_active, signed.key_id);
    let new = seal(&vault);
    assert_ne!(old[2..4], new[2..4], "new data carries the new version");
    // The reader opened the ring before the rotation: it reads it again when it meets the new version.
    for vault in [&vault, &reader, &open(&dir, "intl").expect("opened again")] {
        for bytes in [&old, &new] {
            assert_eq!(vault.unsealer().value(&deposit.code, name, bytes).expect("opened"), "李秀兰");
        }
        assert_eq!(vault.tokens().person_token("x"), token, "tokens do not rotate");
        vault.signer().verify(&signed.key_id, b"report", &signed.signature).expect("the old signature fits");
    }
    // A ring may change its suite: old data stays with the old one.
    let international = open(&dir, "intl").expect("opened");
    international.rotate().expect("rotated");
    let newest = seal(&international);
    assert_eq!(newest[1], 2);
    assert_eq!(vault.unsealer().value(&deposit.code, name, &newest).expect("opened"), "李秀兰");
}

#[test]
fn keys_that_others_can_read_are_refused() {
    let Fixture { vault, dir } = fixture("sm");
    drop(vault);
    let keys = dir.path().join("keys");
    let mode = |path: &std::path::Path, mode: u32| {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).expect("mode set");
    };
    let names: Vec<String> = std::fs::read_dir(&keys)
        .expect("readable")
        .map(|entry| entry.expect("readable").file_name().into_string().expect("a name"))
        .filter(|name| name != "lock")
        .collect();
    assert_eq!(names.len(), 6);
    for name in names {
        let path = keys.join(&name);
        assert_eq!(std::fs::metadata(&path).expect("there").permissions().mode() & 0o777, 0o600, "{name}");
        mode(&path, 0o640);
        let refused = open(&dir, "sm");
        assert!(matches!(refused, Err(VaultError::PermissionsTooOpen { file, .. }) if file == name));
        mode(&path, 0o600);
    }
    mode(&keys, 0o750);
    assert!(matches!(open(&dir, "sm"), Err(VaultError::PermissionsTooOpen { .. })));
    mode(&keys, 0o700);
    open(&dir, "sm").expect("opens again");
    std::fs::remove_file(keys.join("token.key")).expect("removed");
    assert!(matches!(open(&dir, "sm"), Err(VaultError::DamagedRing { file }) if file == "token.key"));
}

#[test]
fn debug_output_shows_no_key() {
    let Fixture { vault, dir } = fixture("sm");
    let shown = format!("{vault:?} {:?} {:?} {:?}", vault.sealer(), vault.unsealer(), vault.tokens().person_token("x"));
    for file in ["token.key", "content.key", "pseudonym.key", "data-1.key", "sign-1.key"] {
        let key = std::fs::read(dir.path().join("keys").join(file)).expect("readable");
        let list = key.iter().map(u8::to_string).collect::<Vec<_>>().join(", ");
        assert!(!shown.contains(&hex::encode(&key)) && !shown.contains(&list), "{file} is shown");
    }
    assert!(!shown.contains(&hex::encode(vault.tokens().person_token("x").0)));
}

#[test]
fn pseudonyms_differ_by_purpose_and_stay_by_person() {
    let Fixture { vault, dir } = fixture("sm");
    let tokens = vault.tokens();
    let person = tokens.person_token("371002199001011234");
    let one = tokens.pseudonym("statistics", &person);
    assert_eq!(one.len(), 16);
    assert_eq!(one, open(&dir, "sm").expect("opened").tokens().pseudonym("statistics", &person));
    assert_ne!(one, tokens.pseudonym("research", &person));
    assert_ne!(one, tokens.pseudonym("statistics", &tokens.person_token("371002199001011235")));
}

#[test]
fn blobs_open_only_under_their_kind_and_id() {
    let Fixture { vault, dir: _dir } = fixture("sm");
    let sealed = vault.sealer().seal_blob("quarantine", "q-1", b"raw row").expect("sealed");
    let unsealer = vault.unsealer();
    assert_eq!(unsealer.open_blob("quarantine", "q-1", &sealed).expect("opened"), b"raw row");
    assert!(matches!(unsealer.open_blob("quarantine", "q-2", &sealed), Err(VaultError::Tampered)));
    assert!(matches!(unsealer.open_blob("export", "q-1", &sealed), Err(VaultError::Tampered)));
}

#[test]
fn receipts_verify_until_a_letter_changes() {
    for suite in ["sm", "intl"] {
        let Fixture { vault, dir: _dir } = fixture(suite);
        let mut receipt = Receipt {
            batch_id: "b".to_owned(),
            item: "bank_deposit".to_owned(),
            provider: "civil-affairs.371002".to_owned(),
            catalogue_version: "1.0.0".to_owned(),
            received_at: Timestamp(0).to_string(),
            rows: 1,
            accepted: 1,
            duplicate: 0,
            quarantined: 0,
            content_digest: hex::encode(minqiao_vault::sm3(b"body")),
            outcomes: Vec::new(),
            key_id: String::new(),
            signature: String::new(),
        };
        vault.signer().sign_receipt(&mut receipt).expect("signed");
        vault.signer().verify_receipt(&receipt).expect("it fits");
        receipt.accepted = 2;
        assert!(matches!(vault.signer().verify_receipt(&receipt), Err(VaultError::BadSignature)));
    }
}

#[test]
fn an_opaque_id_that_is_a_citizen_number_does_not_travel() {
    let Fixture { vault, dir: _dir } = fixture("sm");
    let item = item("bank_deposit");
    let clear = submission(item, &[Some("x"), Some("x")]);
    let at = clear.schema().index_of(envelope::SOURCE_RECORD_ID).expect("there");
    let mut columns = clear.columns().to_vec();
    columns[at] = Arc::new(StringArray::from(vec!["ROW-371002199001011234", "ROW-17"]));
    let clear = RecordBatch::try_new(clear.schema(), columns).expect("a batch");
    let sealed = vault.sealer().seal_batch(item, &clear, &sent()).expect("sealed");
    let ids = sealed.column_by_name(envelope::SOURCE_RECORD_ID).expect("there").as_string::<i32>();
    assert!(ids.value(0).starts_with("t-") && !ids.value(0).contains("3710"));
    assert_eq!(ids.value(1), "ROW-17");
}

#[test]
fn a_sealed_day_comes_back_as_a_day() {
    let Fixture { vault, dir: _dir } = fixture("sm");
    let found = Catalogue::embedded().items().iter().find_map(|item| {
        let field = item.fields.iter().find(|field| field.is_sealed() && field.ty == FieldType::Date32)?;
        Some((item, field))
    });
    let (item, field) = found.expect("the catalogue seals one day");
    let sealed = vault.sealer().seal_batch(item, &submission(item, &[None, None]), &sent()).expect("sealed");
    let column = sealed.column_by_name(&field.name).expect("there").as_binary::<i32>();
    let opened = vault.unsealer().column_of(item, &field.name, column).expect("opened");
    assert_eq!(opened.as_primitive::<Date32Type>().values(), &[0, 1]);
}

/// OpenSSL is an independent implementation: it must accept what the hub signs, and its SM3 must be the hub's.
#[test]
fn openssl_agrees() {
    let Ok(version) = Command::new("openssl").arg("version").stdin(Stdio::null()).output() else {
        eprintln!("SKIPPED: `openssl` is not installed, SM2 and SM3 were not compared with it");
        return;
    };
    assert!(version.status.success());
    let Fixture { vault, dir } = fixture("sm");
    let message = "核对报告 7".as_bytes();
    let signed = vault.signer().sign(message).expect("signed");
    let write = |name: &str, bytes: &[u8]| std::fs::write(dir.path().join(name), bytes).expect("written");
    write("message", message);
    write("signature", &signed.signature);
    write("public.pem", vault.public_keys()[0].pem.as_bytes());
    let run = |args: &[&str]| {
        let output = Command::new("openssl").args(args).current_dir(dir.path()).output().expect("openssl runs");
        String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned()
    };
    let verified = run(&[
        "pkeyutl",
        "-verify",
        "-pubin",
        "-inkey",
        "public.pem",
        "-rawin",
        "-digest",
        "sm3",
        "-pkeyopt",
        "distid:1234567812345678",
        "-in",
        "message",
        "-sigfile",
        "signature",
    ]);
    assert!(verified.contains("Verified Successfully"), "{verified}");
    let digest = run(&["dgst", "-sm3", "message"]);
    assert!(digest.trim().ends_with(&hex::encode(minqiao_vault::sm3(message))), "{digest}");
    let key = std::fs::read(dir.path().join("keys/token.key")).expect("readable");
    write("token-input", b"person\x1f371002199001011234");
    let mac = run(&["dgst", "-sm3", "-mac", "HMAC", "-macopt", &format!("hexkey:{}", hex::encode(key)), "token-input"]);
    let token = hex::encode(vault.tokens().person_token("371002199001011234").0);
    assert!(mac.contains(&token), "the token is not HMAC-SM3");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_text_comes_back(texts in proptest::collection::vec(proptest::option::of(any::<String>()), 0..20)) {
        let Fixture { vault, dir: _dir } = fixture("sm");
        let item = item("bank_deposit");
        let texts: Vec<Option<&str>> = texts.iter().map(Option::as_deref).collect();
        let sealed = vault.sealer().seal_batch(item, &submission(item, &texts), &sent()).expect("sealed");
        for name in sealed_fields(item) {
            let column = sealed.column_by_name(name).expect("there").as_binary::<i32>();
            let opened = vault.unsealer().column(&item.code, name, column).expect("opened");
            prop_assert_eq!(opened, StringArray::from(texts.clone()));
        }
    }
}
