//! The 73 items as structs, so that a misspelt or forgotten field does not compile.
//!
//! Field order, types and keys repeat the catalogue on purpose: the test of this module holds them against the
//! `schemas` crate, and the lives and the truth are written against the structs. A row converts to and from canonical
//! [`Value`]s, which is all that crosses the seam to the exports.

use chrono::NaiveDate;

use crate::row::{Text, Value};

pub mod agriculture_rural_affairs;
pub mod civil_affairs;
pub mod disabled_persons_federation;
pub mod education;
pub mod emergency_management;
pub mod health_commission;
pub mod housing_provident_fund;
pub mod housing_urban_rural;
pub mod human_resources_social_security;
pub mod judicial_administration;
pub mod market_regulation;
pub mod medical_insurance;
pub mod natural_resources;
pub mod public_security;
pub mod taxation;
pub mod trade_union;
pub mod veterans_affairs;

/// An unscaled decimal at its field's scale (money in fen, areas in hundredths, ratios in ten-thousandths).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Dec(pub i64);

/// Milliseconds since the epoch.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Ts(pub i64);

/// One catalogue item as a type.
pub trait Item: Sized {
    /// Item number, 1 to 73.
    const NO: usize;
    /// Item code.
    const CODE: &'static str;
    /// Natural key, field names in catalogue order.
    const KEY: &'static [&'static str];
    /// Fields in catalogue order, with the type as written in Rust.
    const FIELDS: &'static [(&'static str, &'static str)];

    /// The canonical values in catalogue order.
    fn into_values(self) -> Vec<Value>;

    /// The row that `values` were made of.
    fn from_values(values: &[Value]) -> Self;
}

/// A field's type: how it becomes a canonical value and back.
pub trait Cell: Sized {
    /// Into the canonical value.
    fn value(self) -> Value;
    /// Back; a value of another variant reads as the default.
    fn read(value: &Value) -> Self;
}

macro_rules! cells {
    ($($ty:ty: $variant:ident, $to:expr, $from:expr;)*) => {$(
        impl Cell for $ty {
            fn value(self) -> Value {
                Value::$variant($to(self))
            }
            fn read(value: &Value) -> Self {
                match value {
                    Value::$variant(v) => $from(v),
                    _ => <$ty>::default(),
                }
            }
        }
    )*};
}

cells! {
    Text: Text, |v| v, |v: &Text| v.clone();
    i64: Int, |v| v, |v: &i64| *v;
    bool: Bool, |v| v, |v: &bool| *v;
    NaiveDate: Date, |v| v, |v: &NaiveDate| *v;
    Ts: Time, |v: Ts| v.0, |v: &i64| Ts(*v);
    Dec: Decimal, |v: Dec| i128::from(v.0), |v: &i128| Dec(i64::try_from(*v).unwrap_or(0));
}

impl<T: Cell> Cell for Option<T> {
    fn value(self) -> Value {
        self.map_or(Value::Null, Cell::value)
    }

    fn read(value: &Value) -> Self {
        if value.is_null() { None } else { Some(T::read(value)) }
    }
}

macro_rules! items {
    ($($no:literal $name:ident $code:literal key[$($key:ident),*] { $($field:ident: $ty:ty,)* })*) => {$(
        #[doc = concat!("Item ", $no, ", `", $code, "`; fields as in the catalogue.")]
        #[derive(Debug, Clone, Default)]
        pub struct $name {
            $(#[doc = concat!("`", stringify!($field), "` of the catalogue.")] pub $field: $ty,)*
        }

        impl super::Item for $name {
            const NO: usize = $no;
            const CODE: &'static str = $code;
            const KEY: &'static [&'static str] = &[$(stringify!($key)),*];
            const FIELDS: &'static [(&'static str, &'static str)] = &[$((stringify!($field), stringify!($ty))),*];

            fn into_values(self) -> Vec<crate::row::Value> {
                vec![$(super::Cell::value(self.$field)),*]
            }

            fn from_values(values: &[crate::row::Value]) -> Self {
                let mut values = values.iter();
                $(let $field = values.next().map(super::Cell::read).unwrap_or_default();)*
                $name { $($field),* }
            }
        }
    )*};
}
pub(crate) use items;

/// Calls `f` with (number, key, fields) of every item.
pub fn each(mut f: impl FnMut(usize, &'static [&'static str], &'static [(&'static str, &'static str)])) {
    macro_rules! call {
        ($($module:ident::{$($name:ident),*},)*) => {$($(
            f($module::$name::NO, $module::$name::KEY, $module::$name::FIELDS);
        )*)*};
    }
    call! {
        civil_affairs::{SubsistenceAllowanceHousehold, SubsistenceAllowanceMember, ExtremePovertySupport, SubsistenceMarginalHousehold, RigidExpenditureHousehold, TemporaryAssistance, AssistancePayment, AssistanceApplication, DeclaredHouseholdMember, VerificationAuthorization, BankDeposit, SecuritiesHolding, InsurancePolicy, NonbankPaymentBalance, ChildWelfareGuarantee, DisabilityTwoSubsidies, ElderlyAllowance, MarriageRegistration, CremationRecord},
        public_security::{ResidentIdentity, HouseholdRegisterMember, HouseholdMigration, DeathCancellation, ResidencePermit, MotorVehicle, ExitEntryRecord},
        judicial_administration::{PrisonInmate, CompulsoryIsolationRehab},
        human_resources_social_security::{PensionContribution, EmployeePensionBenefit, ResidentPensionBenefit, UnemploymentBenefit, WorkInjuryBenefit, EmploymentRegistration, UnemploymentRegistration, PublicWelfarePost},
        natural_resources::{RealEstateOwnership, RealEstateTransfer},
        housing_urban_rural::{PresaleContract, HousingGuarantee, RuralDilapidatedHouse},
        housing_provident_fund::{ProvidentFundAccount, ProvidentFundWithdrawal},
        agriculture_rural_affairs::{RelapseMonitoringPerson, LandContractRight, AgriSubsidyPayment, FarmMachinery, FishingVessel},
        health_commission::{BirthCertificate, SevereMentalDisorder, FamilyPlanningSupport},
        veterans_affairs::{PreferentialTreatmentPerson, PreferentialTreatmentPayment},
        emergency_management::{DisasterReliefPerson, DisasterDamagedHouse},
        education::{StudentEnrolment, StudentFinancialAid, StudentOriginLoan},
        medical_insurance::{MedicalInsuranceEnrolment, MedicalSettlement, ChronicDiseaseQualification, HighMedicalCostAlert, MedicalAssistancePayment, InsuranceContributionSubsidy},
        taxation::{IndividualIncomeTax, VehiclePurchaseTax},
        market_regulation::{EnterpriseRole, ShareholderContribution, IndividualBusiness},
        disabled_persons_federation::{DisabilityCertificate, DisabilityRehabilitationAid},
        trade_union::{DistressedWorker, DistressedWorkerAid},
    }
}
