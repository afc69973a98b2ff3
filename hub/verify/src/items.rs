//! The 73 items as rows: only the fields that the computation reads, besides natural key, subject and name.
//!
//! One line of the table below makes a struct, its reader and its table in [`Facts`]. `Item (subject, name) [natural key] { fields }` repeats catalogue.yaml; a test compares both.

use minqiao_core::Timestamp;

use crate::calendar::Day;
use crate::cell::{Arena, Cell, Cents, Code, Column, Share, Text, Unreadable, Value};
use crate::facts::{AnyTable, Facts, Table};
use crate::number::Citizen;

/// A pair of number and name that stand side by side in a row (computation 1.6, name agreement).
#[derive(Debug, Clone, Copy)]
pub struct Named {
    /// The number.
    pub number: Option<Citizen>,
    /// The name; null when the field is optional and empty.
    pub name: Option<Text>,
}

/// One record of one item, whichever. What is done alike to all items goes through this, so that it is compiled once.
pub trait AnyRow: Send + Sync {
    /// Number of its item.
    fn no(&self) -> u8;
    /// Subject and name.
    fn named(&self) -> Named;
    /// Further pairs of the row that must agree (items 18 and 49).
    fn also_named(&self) -> [Named; 2] {
        [Named { number: None, name: None }; 2]
    }
    /// A field by its position in `Row::FIELDS`, for rules that are data.
    fn cell(&self, field: usize) -> Cell;
}

/// One record of one item.
pub trait Row: AnyRow + Copy + 'static {
    /// Number in the catalogue.
    const NO: u8;
    /// Item code.
    const ITEM: &'static str;
    /// Fields read, in the order of the struct.
    const FIELDS: &'static [&'static str];
    /// Natural key.
    const KEY: &'static [&'static str];
    /// Field that says whose row it is, and the name beside it.
    const SUBJECT: [&'static str; 2];

    /// Reads one row of columns in the order of `FIELDS`; the index of the field that cannot be read on failure.
    fn read(columns: &[Column], row: usize, arena: &mut Arena) -> Result<Self, (usize, Unreadable)>;
    /// Its table.
    fn table(facts: &Facts) -> &Table<Self>;
}

/// What the catalogue says about an item's rows, as far as the computation reads them.
#[derive(Debug, Clone, Copy)]
pub struct Shape {
    /// Number in the catalogue.
    pub no: u8,
    /// Item code.
    pub item: &'static str,
    /// Fields read, in the order of the struct.
    pub fields: &'static [&'static str],
    /// Natural key.
    pub key: &'static [&'static str],
    /// Subject field and the name beside it.
    pub subject: [&'static str; 2],
}

impl Shape {
    /// Position of a field.
    pub fn position(&self, field: &str) -> Option<usize> {
        self.fields.iter().position(|name| *name == field)
    }
}

trait MaybeNamed {
    fn text(self) -> Option<Text>;
}
impl MaybeNamed for Text {
    fn text(self) -> Option<Text> {
        Some(self)
    }
}
impl MaybeNamed for Option<Text> {
    fn text(self) -> Option<Text> {
        self
    }
}
trait MaybeNumber {
    fn number(self) -> Option<Citizen>;
}
impl MaybeNumber for Citizen {
    fn number(self) -> Option<Citizen> {
        Some(self)
    }
}
impl MaybeNumber for Option<Citizen> {
    fn number(self) -> Option<Citizen> {
        self
    }
}

macro_rules! rows {
    ($($no:literal $item:ident $row:ident ($subject:ident, $name:ident) $(+ ($n1:ident, $t1:ident) ($n2:ident, $t2:ident))? [$($key:ident),*] { $($field:ident: $type:ty),* $(,)? })*) => {
        $(
            #[doc = concat!("`", stringify!($item), "`: the fields of the catalogue under their own names.")]
            #[derive(Debug, Clone, Copy)]
            #[expect(missing_docs, reason = "the catalogue documents the fields")]
            pub struct $row { $(pub $field: $type),* }

            impl AnyRow for $row {
                fn no(&self) -> u8 {
                    $no
                }

                fn named(&self) -> Named {
                    Named { number: self.$subject.number(), name: self.$name.text() }
                }

                $(
                    fn also_named(&self) -> [Named; 2] {
                        [
                            Named { number: self.$n1.number(), name: self.$t1.text() },
                            Named { number: self.$n2.number(), name: self.$t2.text() },
                        ]
                    }
                )?

                fn cell(&self, field: usize) -> Cell {
                    let mut at = 0;
                    $(
                        if field == at {
                            return self.$field.cell();
                        }
                        at += 1;
                    )*
                    debug_assert!(field < at, "rules are compiled against the fields");
                    Cell::Null
                }
            }

            impl Row for $row {
                const NO: u8 = $no;
                const ITEM: &'static str = stringify!($item);
                const FIELDS: &'static [&'static str] = &[$(stringify!($field)),*];
                const KEY: &'static [&'static str] = &[$(stringify!($key)),*];
                const SUBJECT: [&'static str; 2] = [stringify!($subject), stringify!($name)];

                fn read(columns: &[Column], row: usize, arena: &mut Arena) -> Result<Self, (usize, Unreadable)> {
                    let mut at = 0;
                    $(
                        let column = columns.get(at).unwrap_or(&Column::Absent);
                        let $field = <$type as Value>::read(column, row, arena).map_err(|why| (at, why))?;
                        at += 1;
                    )*
                    debug_assert!(at == Self::FIELDS.len(), "one column per field");
                    Ok(Self { $($field),* })
                }

                fn table(facts: &Facts) -> &Table<Self> {
                    &facts.tables.$item
                }
            }
        )*

        /// One table per item.
        #[derive(Debug, Default)]
        #[expect(missing_docs, reason = "one field per item of the catalogue")]
        pub struct Tables { $(pub $item: Table<$row>),* }

        impl Tables {
            pub(crate) fn any(&self, no: u8) -> Option<&dyn AnyTable> {
                match no {
                    $($no => Some(&self.$item),)*
                    _ => None,
                }
            }

            pub(crate) fn any_mut(&mut self, no: u8) -> Option<&mut dyn AnyTable> {
                match no {
                    $($no => Some(&mut self.$item),)*
                    _ => None,
                }
            }
        }

        /// Every item, in catalogue order.
        pub static SHAPES: [Shape; 73] = [$(Shape {
            no: $no,
            item: stringify!($item),
            fields: <$row as Row>::FIELDS,
            key: <$row as Row>::KEY,
            subject: <$row as Row>::SUBJECT,
        }),*];
    };
}

/// The shape of an item by number.
pub fn shape(no: u8) -> Option<&'static Shape> {
    SHAPES.get(usize::from(no).checked_sub(1)?)
}

/// Code of an item by number; empty for none.
pub fn item_code(no: u8) -> &'static str {
    shape(no).map_or("", |shape| shape.item)
}

/// Number of an item by code; 0 for none.
pub fn item_no(item: &str) -> u8 {
    SHAPES.iter().find(|shape| shape.item == item).map_or(0, |shape| shape.no)
}

/// Fields that the computation reads of an item; empty for an unknown one.
pub fn fields_read(item: &str) -> &'static [&'static str] {
    shape(item_no(item)).map_or(&[], |shape| shape.fields)
}

rows! {
    1 subsistence_allowance_household SubsistenceAllowanceHousehold (head_citizen_id, head_name) [certificate_no] {
        certificate_no: Text, head_citizen_id: Citizen, head_name: Text, monthly_amount: Cents, effective_from: Day,
        terminated_on: Option<Day>, grace_from: Option<Day>, status_code: Code,
    }
    2 subsistence_allowance_member SubsistenceAllowanceMember (citizen_id, full_name) [certificate_no, citizen_id] {
        certificate_no: Text, citizen_id: Citizen, full_name: Text, is_guaranteed: bool, joined_on: Day,
        left_on: Option<Day>, status_code: Code,
    }
    3 extreme_poverty_support ExtremePovertySupport (citizen_id, full_name) [support_certificate_no] {
        support_certificate_no: Text, citizen_id: Citizen, full_name: Text, approved_on: Day,
        terminated_on: Option<Day>, status_code: Code,
    }
    4 subsistence_marginal_household SubsistenceMarginalHousehold (head_citizen_id, head_name) [recognition_no] {
        recognition_no: Text, head_citizen_id: Citizen, head_name: Text, recognised_on: Day,
        valid_until: Option<Day>, status_code: Code,
    }
    5 rigid_expenditure_household RigidExpenditureHousehold (head_citizen_id, head_name) [recognition_no] {
        recognition_no: Text, head_citizen_id: Citizen, head_name: Text, recognised_on: Day, valid_until: Day,
        status_code: Code,
    }
    6 temporary_assistance TemporaryAssistance (citizen_id, full_name) [case_no] {
        case_no: Text, citizen_id: Citizen, full_name: Text, aid_mode_code: Code, amount: Cents, approved_on: Day,
        paid_on: Option<Day>,
    }
    7 assistance_payment AssistancePayment (citizen_id, full_name) [payment_batch_no, citizen_id, benefit_code, pay_month] {
        payment_batch_no: Text, citizen_id: Citizen, full_name: Text, benefit_code: Code, pay_month: Day,
        amount: Cents, channel_code: Code, pay_status_code: Code,
    }
    8 assistance_application AssistanceApplication (applicant_citizen_id, applicant_name) [application_no] {
        application_no: Text, applicant_citizen_id: Citizen, applicant_name: Text, apply_type_code: Code,
        guarantee_category_code: Code, household_size: i32, is_single_person: bool, declared_wage_income: Cents,
        declared_business_income: Cents, declared_property_income: Cents, declared_transfer_income: Cents,
        declared_monetary_assets: Cents, declared_house_count: i32, declared_vehicle_count: i32,
        declared_rigid_expenditure: Option<Cents>, applied_at: Timestamp, accept_town_code: Text,
    }
    9 declared_household_member DeclaredHouseholdMember (citizen_id, full_name) [application_no, citizen_id] {
        application_no: Text, citizen_id: Citizen, full_name: Text, member_role_code: Code,
        relation_to_applicant_code: Code, excluded_reason_code: Code, declared_maintenance_paid: Option<Cents>,
        authorization_no: Text,
    }
    10 verification_authorization VerificationAuthorization (grantor_citizen_id, grantor_name) [authorization_no] {
        authorization_no: Text, grantor_citizen_id: Citizen, grantor_name: Text, agent_citizen_id: Option<Citizen>,
        sign_method_code: Code, signed_at: Timestamp, scope_codes: Text, valid_from: Day, valid_until: Option<Day>,
        revoked_at: Option<Timestamp>, status_code: Code,
    }
    11 bank_deposit BankDeposit (citizen_id, full_name) [query_batch_no, citizen_id, institution_code, account_token] {
        query_batch_no: Text, citizen_id: Citizen, full_name: Text, institution_code: Text, account_token: Text,
        account_type_code: Code, currency_code: Code, balance_amount: Cents, balance_date: Day,
        interest_12m: Option<Cents>, account_status_code: Option<Code>, queried_at: Timestamp,
    }
    12 securities_holding SecuritiesHolding (citizen_id, full_name) [query_batch_no, citizen_id, account_token, security_code] {
        query_batch_no: Text, citizen_id: Citizen, full_name: Text, institution_code: Text, account_token: Text,
        security_code: Text, market_value: Cents, currency_code: Code, valuation_date: Day, queried_at: Timestamp,
    }
    13 insurance_policy InsurancePolicy (holder_citizen_id, holder_name) [insurer_code, policy_token] {
        insurer_code: Text, policy_token: Text, holder_citizen_id: Citizen, holder_name: Text,
        product_type_code: Code, cash_value: Option<Cents>, effective_on: Day, policy_status_code: Code,
        queried_at: Timestamp,
    }
    14 nonbank_payment_balance NonbankPaymentBalance (citizen_id, full_name) [query_batch_no, citizen_id, institution_code, account_token] {
        query_batch_no: Text, citizen_id: Citizen, full_name: Text, institution_code: Text, account_token: Text,
        product_type_code: Code, balance_amount: Cents, account_status_code: Option<Code>, queried_at: Timestamp,
    }
    15 child_welfare_guarantee ChildWelfareGuarantee (citizen_id, full_name) [certificate_no] {
        certificate_no: Text, citizen_id: Citizen, full_name: Text, child_type_code: Code, monthly_amount: Cents,
        approved_on: Day, terminated_on: Option<Day>, status_code: Code,
    }
    16 disability_two_subsidies DisabilityTwoSubsidies (citizen_id, full_name) [citizen_id, subsidy_code, effective_from] {
        citizen_id: Citizen, full_name: Text, subsidy_code: Code, monthly_amount: Cents, effective_from: Day,
        terminated_on: Option<Day>, status_code: Code,
    }
    17 elderly_allowance ElderlyAllowance (citizen_id, full_name) [citizen_id, subsidy_code, effective_from] {
        citizen_id: Citizen, full_name: Text, subsidy_code: Code, monthly_amount: Cents, effective_from: Day,
        terminated_on: Option<Day>, alive_verified_on: Option<Day>, status_code: Code,
    }
    18 marriage_registration MarriageRegistration (citizen_id, full_name) + (spouse_citizen_id, spouse_name) (citizen_id, full_name) [registration_no, event_code, citizen_id] {
        registration_no: Text, event_code: Code, citizen_id: Citizen, full_name: Text,
        spouse_citizen_id: Option<Citizen>, spouse_name: Text, event_date: Day, record_status_code: Code,
    }
    19 cremation_record CremationRecord (citizen_id, full_name) [cremation_no] {
        cremation_no: Text, citizen_id: Citizen, full_name: Text, death_date: Option<Day>, cremated_on: Day,
    }
    20 resident_identity ResidentIdentity (citizen_id, full_name) [citizen_id] {
        citizen_id: Citizen, full_name: Text, former_name: Option<Text>, birth_date: Day, person_status_code: Code,
        replaced_by_citizen_id: Option<Citizen>,
    }
    21 household_register_member HouseholdRegisterMember (citizen_id, full_name) [household_no, citizen_id] {
        household_no: Text, citizen_id: Citizen, full_name: Text, relation_to_head_code: Code,
        head_citizen_id: Citizen, father_citizen_id: Option<Citizen>, mother_citizen_id: Option<Citizen>,
        spouse_citizen_id: Option<Citizen>, updated_at: Timestamp,
    }
    22 household_migration HouseholdMigration (citizen_id, full_name) [citizen_id, event_code, event_date] {
        citizen_id: Citizen, full_name: Text, event_code: Code, event_date: Day,
    }
    23 death_cancellation DeathCancellation (citizen_id, full_name) [citizen_id] {
        citizen_id: Citizen, full_name: Text, death_date: Day, cancelled_on: Day, cancel_reason_code: Code,
    }
    24 residence_permit ResidencePermit (citizen_id, full_name) [permit_no] {
        permit_no: Text, citizen_id: Citizen, full_name: Text,
    }
    25 motor_vehicle MotorVehicle (owner_citizen_id, owner_name) [vin, owner_citizen_id, registered_on] {
        vin: Text, owner_citizen_id: Citizen, owner_name: Text, vehicle_type_code: Code, use_nature_code: Code,
        registered_on: Day, is_disabled_adapted: bool, vehicle_status_code: Code, ended_on: Option<Day>,
    }
    26 exit_entry_record ExitEntryRecord (citizen_id, full_name) [document_no, crossing_at, direction_code] {
        citizen_id: Citizen, full_name: Text, document_no: Text, direction_code: Code, crossing_at: Timestamp,
    }
    27 prison_inmate PrisonInmate (citizen_id, full_name) [citizen_id, custody_started_on] {
        citizen_id: Citizen, full_name: Text, custody_status_code: Code, custody_started_on: Day,
        released_on: Option<Day>,
    }
    28 compulsory_isolation_rehab CompulsoryIsolationRehab (citizen_id, full_name) [citizen_id, started_on] {
        citizen_id: Citizen, full_name: Text, custody_status_code: Code, started_on: Day, released_on: Option<Day>,
    }
    29 pension_contribution PensionContribution (citizen_id, full_name) [citizen_id, scheme_code, contribution_month] {
        citizen_id: Citizen, full_name: Text, scheme_code: Code, payer_kind_code: Code,
        participation_status_code: Code, contribution_base: Option<Cents>, personal_amount: Cents,
        contribution_month: Day,
    }
    30 employee_pension_benefit EmployeePensionBenefit (citizen_id, full_name) [citizen_id, benefit_code, pay_month] {
        citizen_id: Citizen, full_name: Text, benefit_code: Code, monthly_amount: Cents, is_lump_sum: bool,
        pay_month: Day, paid_on: Option<Day>, pay_status_code: Code, alive_verified_on: Option<Day>,
    }
    31 resident_pension_benefit ResidentPensionBenefit (citizen_id, full_name) [citizen_id, pay_month] {
        citizen_id: Citizen, full_name: Text, central_basic_amount: Cents, local_basic_amount: Cents,
        personal_account_amount: Cents, other_amount: Option<Cents>, total_amount: Cents, pay_month: Day,
        pay_status_code: Code, alive_verified_on: Option<Day>,
    }
    32 unemployment_benefit UnemploymentBenefit (citizen_id, full_name) [citizen_id, benefit_code, pay_month] {
        citizen_id: Citizen, full_name: Text, benefit_code: Code, amount: Cents, pay_month: Day,
        paid_on: Option<Day>, status_code: Code,
    }
    33 work_injury_benefit WorkInjuryBenefit (citizen_id, full_name) [case_no, benefit_code, pay_month] {
        case_no: Text, citizen_id: Citizen, full_name: Text, benefit_code: Code, amount: Cents, is_lump_sum: bool,
        pay_month: Day, paid_on: Option<Day>, pay_status_code: Code,
    }
    34 employment_registration EmploymentRegistration (citizen_id, full_name) [citizen_id, employer_uscc, started_on] {
        citizen_id: Citizen, full_name: Text, employer_uscc: Text, employment_form_code: Code, started_on: Day,
        ended_on: Option<Day>, declared_monthly_wage: Option<Cents>,
    }
    35 unemployment_registration UnemploymentRegistration (citizen_id, full_name) [registration_no] {
        registration_no: Text, citizen_id: Citizen, full_name: Text, registered_on: Day,
        job_refusal_count: Option<i32>, cancelled_on: Option<Day>, status_code: Code,
    }
    36 public_welfare_post PublicWelfarePost (citizen_id, full_name) [citizen_id, post_no, started_on] {
        citizen_id: Citizen, full_name: Text, post_no: Text, employer_uscc: Option<Text>, started_on: Day,
        ended_on: Option<Day>, monthly_subsidy: Cents,
    }
    37 real_estate_ownership RealEstateOwnership (owner_citizen_id, owner_name) [real_estate_unit_no, owner_citizen_id, certificate_no] {
        real_estate_unit_no: Text, certificate_no: Text, owner_citizen_id: Citizen, owner_name: Text,
        share_ratio: Option<Share>, right_type_code: Code, house_use_code: Code, building_area: Cents,
        registered_on: Day, right_status_code: Code, division_code: Code,
    }
    38 real_estate_transfer RealEstateTransfer (party_citizen_id, party_name) [transfer_case_no, real_estate_unit_no, party_role_code, party_citizen_id] {
        transfer_case_no: Text, real_estate_unit_no: Text, party_role_code: Code, party_citizen_id: Citizen,
        party_name: Text, transfer_reason_code: Code, deal_price: Option<Cents>, building_area: Option<Cents>,
        registered_on: Day,
    }
    39 presale_contract PresaleContract (buyer_citizen_id, buyer_name) [contract_no, buyer_citizen_id] {
        contract_no: Text, buyer_citizen_id: Citizen, buyer_name: Text, house_no: Text,
        real_estate_unit_no: Option<Text>, building_area: Cents, house_use_code: Code, signed_on: Day,
        filed_on: Option<Day>, cancelled_on: Option<Day>, contract_status_code: Code, division_code: Code,
    }
    40 housing_guarantee HousingGuarantee (applicant_citizen_id, applicant_name) [guarantee_no] {
        guarantee_no: Text, applicant_citizen_id: Citizen, applicant_name: Text, mode_code: Code,
        monthly_subsidy: Option<Cents>, effective_from: Day, valid_until: Option<Day>, status_code: Code,
    }
    41 rural_dilapidated_house RuralDilapidatedHouse (head_citizen_id, head_name) [house_file_no, plan_year] {
        house_file_no: Text, plan_year: i32, head_citizen_id: Citizen, head_name: Text,
        subsidy_amount: Option<Cents>, completed_on: Option<Day>, is_accepted: bool,
    }
    42 provident_fund_account ProvidentFundAccount (citizen_id, full_name) [account_token, as_of_date] {
        account_token: Text, citizen_id: Citizen, full_name: Text, contribution_base: Option<Cents>,
        balance_amount: Cents, paid_until_month: Option<Day>, account_status_code: Code, as_of_date: Day,
    }
    43 provident_fund_withdrawal ProvidentFundWithdrawal (citizen_id, full_name) [withdrawal_no] {
        withdrawal_no: Text, citizen_id: Citizen, full_name: Text, reason_code: Code, amount: Cents,
        withdrawn_on: Day,
    }
    44 relapse_monitoring_person RelapseMonitoringPerson (citizen_id, full_name) [household_file_no, citizen_id, data_year] {
        household_file_no: Text, citizen_id: Citizen, full_name: Text, data_year: i32,
    }
    45 land_contract_right LandContractRight (contractor_citizen_id, contractor_name) [contract_no] {
        contract_no: Text, contractor_citizen_id: Citizen, contractor_name: Text, contracted_area_mu: Cents,
        transferred_area_mu: Option<Cents>, annual_transfer_income: Option<Cents>, term_from: Option<Day>,
        term_to: Option<Day>, record_status_code: Code,
    }
    46 agri_subsidy_payment AgriSubsidyPayment (citizen_id, full_name) [payment_no] {
        payment_no: Text, citizen_id: Citizen, full_name: Text, subsidy_code: Code, amount: Cents,
        paid_on: Option<Day>,
    }
    47 farm_machinery FarmMachinery (owner_citizen_id, owner_name) [plate_no, owner_citizen_id] {
        plate_no: Text, owner_citizen_id: Citizen, owner_name: Text, first_registered_on: Day,
        equipment_status_code: Code,
    }
    48 fishing_vessel FishingVessel (owner_citizen_id, owner_name) [vessel_no, owner_citizen_id] {
        vessel_no: Text, owner_citizen_id: Citizen, owner_name: Text, engine_power_kw: Cents,
        share_ratio: Option<Share>, registered_on: Day, equipment_status_code: Code,
    }
    49 birth_certificate BirthCertificate (newborn_citizen_id, newborn_name) + (mother_citizen_id, mother_name) (father_citizen_id, father_name) [certificate_no] {
        certificate_no: Text, newborn_name: Option<Text>, newborn_citizen_id: Option<Citizen>, born_at: Timestamp,
        mother_citizen_id: Citizen, mother_name: Text, father_citizen_id: Option<Citizen>, father_name: Option<Text>,
        record_status_code: Code,
    }
    50 severe_mental_disorder SevereMentalDisorder (citizen_id, full_name) [citizen_id, filed_on] {
        citizen_id: Citizen, full_name: Text, filed_on: Day,
    }
    51 family_planning_support FamilyPlanningSupport (citizen_id, full_name) [citizen_id, support_code, support_year] {
        citizen_id: Citizen, full_name: Text, support_code: Code, support_year: i32, annual_amount: Cents,
        paid_on: Option<Day>, pay_status_code: Code,
    }
    52 preferential_treatment_person PreferentialTreatmentPerson (citizen_id, full_name) [citizen_id, pref_type_code] {
        citizen_id: Citizen, full_name: Text, pref_type_code: Code,
    }
    53 preferential_treatment_payment PreferentialTreatmentPayment (citizen_id, full_name) [citizen_id, payment_code, pay_month] {
        citizen_id: Citizen, full_name: Text, payment_code: Code, amount: Cents, pay_month: Day,
        pay_status_code: Code,
    }
    54 disaster_relief_person DisasterReliefPerson (citizen_id, full_name) [disaster_no, citizen_id, relief_code] {
        disaster_no: Text, occurred_on: Day, citizen_id: Citizen, full_name: Text, relief_code: Code,
        relief_amount: Option<Cents>, confirmed_on: Option<Day>, paid_on: Option<Day>,
    }
    55 disaster_damaged_house DisasterDamagedHouse (head_citizen_id, head_name) [disaster_no, house_file_no] {
        disaster_no: Text, house_file_no: Text, head_citizen_id: Citizen, head_name: Text,
        rebuild_subsidy: Option<Cents>, rebuilt_on: Option<Day>,
    }
    56 student_enrolment StudentEnrolment (citizen_id, full_name) [student_no, academic_year] {
        student_no: Text, citizen_id: Citizen, full_name: Text, academic_year: Text, stage_code: Code,
        is_full_time: bool, enrolled_on: Day, expected_end_on: Option<Day>, annual_tuition: Option<Cents>,
        enrol_status_code: Code,
    }
    57 student_financial_aid StudentFinancialAid (citizen_id, full_name) [citizen_id, aid_code, academic_year, term_code] {
        citizen_id: Citizen, full_name: Text, aid_code: Code, amount: Cents, academic_year: Text, term_code: Code,
        approved_on: Option<Day>, paid_on: Option<Day>, pay_status_code: Code,
    }
    58 student_origin_loan StudentOriginLoan (citizen_id, full_name) [loan_contract_no, academic_year] {
        loan_contract_no: Text, citizen_id: Citizen, full_name: Text, academic_year: Text,
    }
    59 medical_insurance_enrolment MedicalInsuranceEnrolment (citizen_id, full_name) [person_no, insurance_type_code, contribution_year] {
        person_no: Text, citizen_id: Citizen, full_name: Text, insurance_type_code: Code, enrol_status_code: Code,
        enrol_from: Day, contribution_year: i32, personal_paid_amount: Option<Cents>, employer_uscc: Option<Text>,
    }
    60 medical_settlement MedicalSettlement (citizen_id, full_name) [settlement_no] {
        settlement_no: Text, citizen_id: Citizen, full_name: Text, settled_at: Timestamp,
        personal_paid_amount: Cents,
    }
    61 chronic_disease_qualification ChronicDiseaseQualification (citizen_id, full_name) [citizen_id, disease_code, valid_from] {
        citizen_id: Citizen, full_name: Text, disease_code: Text, class_code: Code, valid_from: Day,
        valid_until: Option<Day>, record_status_code: Code,
    }
    62 high_medical_cost_alert HighMedicalCostAlert (citizen_id, full_name) [alert_no] {
        alert_no: Text, citizen_id: Citizen, full_name: Text,
    }
    63 medical_assistance_payment MedicalAssistancePayment (citizen_id, full_name) [assistance_no] {
        assistance_no: Text, citizen_id: Citizen, full_name: Text, assistance_amount: Cents, settled_at: Timestamp,
    }
    64 insurance_contribution_subsidy InsuranceContributionSubsidy (citizen_id, full_name) [citizen_id, insurance_type_code, contribution_year] {
        citizen_id: Citizen, full_name: Text, insurance_type_code: Code, contribution_year: i32,
        subsidy_amount: Cents, paid_on: Option<Day>, pay_status_code: Code,
    }
    65 individual_income_tax IndividualIncomeTax (citizen_id, full_name) [citizen_id, payer_uscc, income_item_code, tax_period] {
        citizen_id: Citizen, full_name: Text, payer_uscc: Text, income_item_code: Code, tax_period: Day,
        period_months: Option<i32>, income_amount: Cents, cost_amount: Option<Cents>,
        social_insurance_deduction: Option<Cents>, tax_paid: Option<Cents>, is_severance: Option<bool>,
    }
    66 vehicle_purchase_tax VehiclePurchaseTax (citizen_id, full_name) [tax_certificate_no] {
        tax_certificate_no: Text, citizen_id: Citizen, full_name: Text, vin: Text, invoice_price: Cents,
    }
    67 enterprise_role EnterpriseRole (citizen_id, full_name) [uscc, citizen_id, role_code] {
        uscc: Text, citizen_id: Citizen, full_name: Text, role_code: Code, appointed_on: Option<Day>,
        removed_on: Option<Day>, has_operation: Option<bool>, entity_status_code: Code,
    }
    68 shareholder_contribution ShareholderContribution (citizen_id, full_name) [uscc, citizen_id] {
        uscc: Text, citizen_id: Citizen, full_name: Text, subscribed_amount: Cents, currency_code: Code,
        holder_from: Option<Day>, holder_to: Option<Day>, entity_status_code: Code,
    }
    69 individual_business IndividualBusiness (operator_citizen_id, operator_name) [uscc] {
        uscc: Text, operator_citizen_id: Citizen, operator_name: Text, form_code: Option<Code>,
        employee_count: Option<i32>, registered_on: Day, cancelled_on: Option<Day>, entity_status_code: Code,
    }
    70 disability_certificate DisabilityCertificate (citizen_id, full_name) [disability_certificate_no] {
        disability_certificate_no: Text, citizen_id: Citizen, full_name: Text, disability_type_code: Code,
        disability_grade_code: Code, multi_detail: Option<Text>, issued_on: Day, valid_until: Option<Day>,
        certificate_status_code: Code,
    }
    71 disability_rehabilitation_aid DisabilityRehabilitationAid (citizen_id, full_name) [aid_no] {
        aid_no: Text, citizen_id: Citizen, full_name: Text, service_from: Day, personal_amount: Cents,
        record_status_code: Code,
    }
    72 distressed_worker DistressedWorker (citizen_id, full_name) [file_no] {
        file_no: Text, citizen_id: Citizen, full_name: Text,
    }
    73 distressed_worker_aid DistressedWorkerAid (citizen_id, full_name) [aid_no] {
        aid_no: Text, citizen_id: Citizen, full_name: Text, amount: Cents, approved_on: Option<Day>,
        paid_on: Option<Day>,
    }
}
