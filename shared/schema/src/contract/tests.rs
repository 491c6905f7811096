use super::*;

#[test]
fn every_version_has_a_contract_that_compiles() {
    for version in Version::ALL {
        let contract = Contract::of(version);
        assert_eq!(contract.version, version);
        assert!(!contract.validator("document").is_valid(&json!({})));
        assert!(!contract.validator("test").is_valid(&json!({})), "a test has required fields");
        jsonschema::meta::validate(&json_schema(version)).unwrap();
    }
}

#[test]
fn newer_fields_are_known_by_their_version() {
    assert_eq!(Contract::first_with("test", "input_files"), Some(Version::NEWEST));
    assert_eq!(Contract::first_with("issue", "categories").unwrap().to_string(), "5.2");
    assert_eq!(Contract::first_with("test", "nothing"), None);
}
