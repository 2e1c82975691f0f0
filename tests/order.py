"""Which files go first."""

FIRST = (
    # one worker compiles the kernels while the other is at the record, which calls none
    "test_study.py", "clinic/test_api_security.py", "clinic/test_synthetic.py", "clinic/test_fhir.py", "clinic/test_api_schema.py",
    "clinic/test_api_roles.py", "clinic/test_api.py", "clinic/test_record.py",
    "test_cli.py", "test_cli_program.py", "test_report.py", "web/test_journey.py", "field/test_multigrid.py", "field/test_field_oracles.py",
    "gate/test_zhang_oracle.py", "gate/test_afferents.py", "gate/test_transmission.py", "outcome/test_cohort.py",
    "outcome/test_cohort_two_stages.py", "web/test_clinic.py", "web/test_cohorts_api.py", "web/test_diary.py", "web/test_program.py",
    "web/test_plan.py", "web/test_cohorts.py", "web/test_pathway.py", "web/test_gate.py", "web/test_shell.py", "test_bench_field.py", "test_bench.py")
"""Files that take long, the longest first: a file stays with one worker, and a long one at the end is waited for by the other."""
