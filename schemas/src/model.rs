//! What the catalogue says, as types: departments, classes, items, fields and the closed vocabularies they draw from.
//!
//! Values of these types come out of a checked [`crate::Catalogue`] only, so their rules (key fields are required,
//! subject fields hold citizen numbers, levels cover tags) hold wherever an [`Item`] is seen and nobody re-checks them.

use std::sync::Arc;

use arrow::datatypes::SchemaRef;

use crate::code_table::CodeTable;
use crate::vocabulary::vocabulary;

pub use crate::field_type::{FieldType, TIME_ZONE};

vocabulary! {
    /// Sensitivity of a field (GB/T 43697-2024 annex H), ascending.
    Level {
        /// 公开.
        L1 = "L1",
        /// 一般.
        L2 = "L2",
        /// 较敏感.
        L3 = "L3",
        /// 高敏感 (PIPL art. 28).
        L4 = "L4",
    }
}

vocabulary! {
    /// What a field is about; policies decide by tags and levels.
    Tag {
        /// 直接标识符.
        DirectIdentifier = "direct_identifier",
        /// 准标识符.
        QuasiIdentifier = "quasi_identifier",
        /// 联系方式.
        Contact = "contact",
        /// 地址与位置.
        Location = "location",
        /// 家庭关系.
        Household = "household",
        /// 医疗健康.
        Health = "health",
        /// 残疾.
        Disability = "disability",
        /// 金融账户、余额与交易.
        Financial = "financial",
        /// 财产.
        Asset = "asset",
        /// 收入.
        Income = "income",
        /// 支出.
        Expenditure = "expenditure",
        /// 救助待遇.
        Assistance = "assistance",
        /// 未成年人.
        Minor = "minor",
        /// 服刑、戒毒等特定身份.
        Criminal = "criminal",
        /// 出入境与行踪.
        Movement = "movement",
        /// 业务事件时间或状态.
        Event = "event",
        /// 机构标识.
        OrgIdentifier = "org_identifier",
        /// 经营主体关联.
        BusinessId = "business_id",
        /// 政策标准.
        Policy = "policy",
        /// 授权与核对业务.
        Authorization = "authorization",
        /// 生物识别; reserved, no field may carry it.
        Biometric = "biometric",
    }
}

vocabulary! {
    /// What an item states about a person. Named apart from the hub's error kinds.
    ItemKind {
        /// Who the person is.
        Identity = "identity",
        /// Who belongs to whom.
        HouseholdRelation = "household_relation",
        /// Money that came in, or evidence of it.
        Income = "income",
        /// Something owned.
        Asset = "asset",
        /// Money that went out.
        Expenditure = "expenditure",
        /// Social assistance received.
        Assistance = "assistance",
        /// A state of the person, or a change of it.
        StatusEvent = "status_event",
    }
}

vocabulary! {
    /// How often a department delivers an item. For `query_response` items `realtime` means answered on request.
    Cadence {
        /// As it happens.
        Realtime = "realtime",
        /// Once a day.
        Daily = "daily",
        /// Once a month.
        Monthly = "monthly",
    }
}

vocabulary! {
    /// Who starts a delivery.
    ExchangeMode {
        /// The department pushes batches.
        BatchPush = "batch_push",
        /// The department answers a question about named persons.
        QueryResponse = "query_response",
    }
}

vocabulary! {
    /// Through whom an item reaches the city.
    SourceChannel {
        /// The department's own system.
        Department = "department",
        /// The civil-affairs verification platform, for financial institutions.
        VerificationPlatform = "verification-platform",
    }
}

vocabulary! {
    /// How the verification treats an item's money as income (rules R-INC).
    IncomeTreatment {
        /// Counts in full.
        Counted = "counted",
        /// Counts in part, by field.
        PartiallyExcluded = "partially_excluded",
        /// Statutory exclusion.
        Excluded = "excluded",
        /// Supports or contradicts a declaration, is no income itself.
        EvidenceOnly = "evidence_only",
        /// Says nothing about income.
        NotApplicable = "not_applicable",
    }
}

vocabulary! {
    /// Why an item is in the catalogue.
    ProvenanceStatus {
        /// Named in a cited public document.
        Sourced = "sourced",
        /// A cited rule needs the fact.
        Derived = "derived",
        /// Added by the catalogue.
        Designed = "designed",
    }
}

/// How a field's value is held from the bus on (architecture D5).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Seal {
    /// As it is.
    Clear,
    /// Ciphertext only.
    Cipher,
    /// Ciphertext and a keyed token, because rows are joined or keyed by the value.
    CipherAndToken,
}

/// Domain of every citizen number's token, so that a person has one token in all items.
pub const TOKEN_DOMAIN_PERSON: &str = "person";
/// Domain of account, card, policy and provident-fund numbers.
pub const TOKEN_DOMAIN_ACCOUNT: &str = "account";

/// One field of an item.
#[derive(Debug, Clone)]
pub struct Field {
    /// Canonical name, `snake_case`, unique in the item.
    pub name: String,
    /// What department staff call it.
    pub label_zh: String,
    /// Canonical type.
    pub ty: FieldType,
    /// Non-null after normalisation.
    pub required: bool,
    /// Id of the code table whose codes the field holds.
    pub code_table: Option<String>,
    /// Sensitivity.
    pub level: Level,
    /// What it is about; never empty, in catalogue order.
    pub tags: Vec<Tag>,
    pub(crate) seal: Seal,
    pub(crate) table: Option<Arc<CodeTable>>,
    pub(crate) token_domain: String,
}

impl Field {
    /// How the value is held from the bus on.
    ///
    /// Sealed: tags `direct_identifier` and `contact`; free-text addresses (`location` on text without a code
    /// table); fields that the catalogue file marks `seal: token` because the same value is sealed in another item.
    /// A token beside the ciphertext: citizen numbers, sealed key fields, account numbers, `seal: token`.
    pub fn seal(&self) -> Seal {
        self.seal
    }

    /// Whether the stored column is ciphertext.
    pub fn is_sealed(&self) -> bool {
        self.seal != Seal::Clear
    }

    /// Whether a `<field>__token` column stands beside the ciphertext.
    pub fn has_token(&self) -> bool {
        self.seal == Seal::CipherAndToken
    }

    /// Domain that separates this field's tokens from others: `person`, `account` or `field:<name>`.
    pub fn token_domain(&self) -> &str {
        &self.token_domain
    }

    /// Name of the token column.
    pub fn token_column(&self) -> String {
        format!("{}{}", self.name, crate::envelope::TOKEN_SUFFIX)
    }

    /// The code table itself.
    pub fn table(&self) -> Option<&Arc<CodeTable>> {
        self.table.as_ref()
    }

    /// Whether the field holds a citizen number (GB 11643).
    pub fn is_citizen_number(&self) -> bool {
        self.code_table.as_deref() == Some(crate::code_table::CITIZEN_NUMBER)
    }

    /// Whether the field holds an account, card, policy or provident-fund number.
    pub fn is_account_number(&self) -> bool {
        self.ty == FieldType::Utf8 && self.name.ends_with("_token")
    }

    /// Whether the field holds months, each written as its first day.
    pub fn is_month(&self) -> bool {
        self.ty == FieldType::Date32 && (self.name.ends_with("_month") || self.label_zh.contains("取当月1日"))
    }

    /// Whether the field carries `tag`.
    pub fn has_tag(&self, tag: Tag) -> bool {
        self.tags.contains(&tag)
    }
}

/// What the rules engines read an item for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Matching {
    /// `wage`, `business`, `property` or `transfer`.
    pub income_category: Option<String>,
    /// How its money counts as income.
    pub income_treatment: IncomeTreatment,
    /// `monetary`, `real_estate`, `vehicle`, `machinery_vessel` or `business_equity`.
    pub asset_category: Option<String>,
    /// `medical`, `education`, `housing`, `living` or `disability_rehab`.
    pub expenditure_category: Option<String>,
    /// Codes of the alert signals that the item can raise.
    pub alert_signals: Vec<String>,
}

/// Where the item comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Provenance {
    /// How firmly it is grounded.
    pub status: ProvenanceStatus,
    /// Keys of the catalogue's `sources`.
    pub refs: Vec<String>,
}

/// One of the 73 information items (信息项).
#[derive(Debug, Clone)]
pub struct Item {
    /// 1–73, the catalogue's order.
    pub no: u16,
    /// `snake_case`, unique, never reused.
    pub code: String,
    /// Chinese name.
    pub name_zh: String,
    /// English name.
    pub name_en: String,
    /// Code of the department that owns it.
    pub department: String,
    /// Code of its class.
    pub class: String,
    /// What one row is.
    pub grain: String,
    /// Remarks for readers.
    pub note: Option<String>,
    /// Fields that identify a row, in key order; all required.
    pub natural_key: Vec<String>,
    /// Fields that hold citizen numbers; the first is the subject.
    pub subject_fields: Vec<String>,
    /// How often it is delivered.
    pub cadence: Cadence,
    /// Who starts a delivery.
    pub exchange_mode: ExchangeMode,
    /// What it states.
    pub kind: ItemKind,
    /// Highest level of its fields.
    pub level: Level,
    /// Whether subjects under 14 occur.
    pub contains_minors: bool,
    /// Whether a person's rows may be matched only under that person's valid authorisation.
    pub authorization_required: bool,
    /// Through whom it comes.
    pub source_channel: SourceChannel,
    /// What the rules engines read it for.
    pub matching: Matching,
    /// Where it comes from.
    pub provenance: Provenance,
    /// In catalogue order.
    pub fields: Vec<Field>,
    /// Version of the catalogue that holds it.
    pub catalogue_version: String,
    pub(crate) submission: SchemaRef,
    pub(crate) sealed: SchemaRef,
}

impl Item {
    /// The field of that name.
    pub fn field(&self, name: &str) -> Option<&Field> {
        self.fields.iter().find(|f| f.name == name)
    }

    /// Position of the field of that name in catalogue order.
    pub fn field_index(&self, name: &str) -> Option<usize> {
        self.fields.iter().position(|f| f.name == name)
    }

    /// The field that holds the citizen number of the person the row is about.
    pub fn subject_field(&self) -> &Field {
        self.subject_fields.first().and_then(|name| self.field(name)).expect("a checked item has a subject field")
    }

    /// Positions of the natural key's fields, in key order.
    pub fn key_indices(&self) -> Vec<usize> {
        self.natural_key.iter().filter_map(|name| self.field_index(name)).collect()
    }

    /// Fields that have a token column, with their positions, in catalogue order.
    pub fn token_fields(&self) -> impl Iterator<Item = (usize, &Field)> {
        self.fields.iter().enumerate().filter(|(_, f)| f.has_token())
    }

    /// What a connector submits: the fields in catalogue order, then the optional provider columns. See
    /// [`crate::arrow_schema`].
    pub fn submission_schema(&self) -> SchemaRef {
        Arc::clone(&self.submission)
    }

    /// What bus and lake hold: fields, tokens, envelope. See [`crate::arrow_schema`].
    pub fn sealed_schema(&self) -> SchemaRef {
        Arc::clone(&self.sealed)
    }
}

/// One of the 17 departments.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Department {
    /// `kebab-case`, first part of a provider code.
    pub code: String,
    /// Chinese name.
    pub name_zh: String,
    /// English name.
    pub name_en: String,
    /// Remarks for readers.
    pub note: Option<String>,
    /// Its classes, in catalogue order.
    pub classes: Vec<Class>,
}

/// One of the 23 classes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Class {
    /// `kebab-case` with a prefix for the department.
    pub code: String,
    /// Chinese name.
    pub name_zh: String,
    /// English name.
    pub name_en: String,
    /// Remarks for readers.
    pub note: Option<String>,
}
