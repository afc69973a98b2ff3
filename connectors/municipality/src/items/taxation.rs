//! Items 65 to 66: what `taxation` (税务部门) holds.

use chrono::NaiveDate;

use super::{Dec, items};
use crate::row::Text;

items! {
    65 IndividualIncomeTax "individual_income_tax" key[citizen_id, payer_uscc, income_item_code, tax_period] {
        citizen_id: Text,
        full_name: Text,
        payer_uscc: Text,
        payer_name: Option<Text>,
        income_item_code: Text,
        tax_period: NaiveDate,
        period_months: Option<i64>,
        income_amount: Dec,
        cost_amount: Option<Dec>,
        tax_exempt_amount: Option<Dec>,
        social_insurance_deduction: Option<Dec>,
        special_deduction: Option<Dec>,
        taxable_income: Option<Dec>,
        tax_paid: Option<Dec>,
        declared_on: NaiveDate,
        tax_authority_code: Text,
        is_correction: bool,
        is_severance: Option<bool>,
    }
    66 VehiclePurchaseTax "vehicle_purchase_tax" key[tax_certificate_no] {
        tax_certificate_no: Text,
        citizen_id: Text,
        full_name: Text,
        vin: Text,
        vehicle_type_code: Option<Text>,
        brand_model: Option<Text>,
        invoice_price: Dec,
        taxable_price: Dec,
        tax_amount: Option<Dec>,
        is_exempt: bool,
        declared_on: NaiveDate,
        tax_authority_code: Text,
    }
}
