"""Corrections with their uncertainty sources, and the variations that these make. Pure functions of arrays.

The physics, for use as functions of corrections:

- `jets`: energy scale (`jec_factor`) and resolution (`jer_factor`)
- `met`: Type-1 correction (`type1_met`), unclustered part (`unclustered_met`), shifts that NanoAOD stores (`stored_met`)
- `btagging`: `shape_factor`, `working_point_factor`
- `leptons`: columns for payloads (`abseta_pt`, `leading_abseta_pt`, `ClampedAbsEtaPt`)
- `theory`: `member_weight`, `scale_weight`, `stored_weight`

`payloads` opens correctionlib files; `plan`, `chain`, `tile` and `weights` are the engine, `describe` shows its plan.
"""
