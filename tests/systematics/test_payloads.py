"""Opening and evaluating correctionlib payloads, and what the errors say.

The payloads are written here, so that every expected number follows by hand from the tables below; those of the POGs
are used where the reference inputs are.
"""

from __future__ import annotations

import gzip
import itertools
import json
import pickle
import threading

import awkward as ak
import correctionlib
import numpy as np
import pytest

from intccms.errors import PayloadError
from intccms.schema.base import SYS, ObjVar, Payload, WorkerEval
from intccms.schema.corrections import Correction
from intccms.systematics import payloads
from intccms.systematics.payload_checks import check_correction, missing_files
from intccms.systematics.payload_refusals import refusals
from intccms.systematics.payloads import Input, open_payload
from tests.reference import reference_data


def var(name, kind="real"):
    return {"name": name, "type": kind}


def binning(name, edges, content, flow="error"):
    if isinstance(edges, list):
        edges = list(map(float, edges))  # correctionlib refuses whole numbers
    return {"nodetype": "binning", "input": name, "edges": edges, "content": content, "flow": flow}


def category(name, content, **more):
    items = [{"key": key, "value": value} for key, value in content.items()]
    return {"nodetype": "category", "input": name, "content": items, **more}


def formula(expression, *variables):
    return {
        "nodetype": "formula",
        "expression": expression,
        "parser": "TFormula",
        "variables": list(variables),
    }


def simple(name, inputs, data, **more):
    return {"name": name, "version": 1, "inputs": inputs, "output": var("out"), "data": data, **more}


CENTRAL = binning(
    "abseta", [0, 1, 2.5], [binning("pt", [20, 50, 100], [1.1, 1.2], "clamp"), formula("1+0.01*x", "pt")]
)
"""|eta| < 1: 1.1 below 50 GeV, 1.2 above; |eta| < 2.5: 1 + 0.01 pt."""

BTAG = simple(
    "btag",
    [var("systematic", "string"), var("flavor", "int"), var("abseta"), var("pt")],
    category(
        "systematic",
        {
            "central": category("flavor", dict.fromkeys((0, 4, 5), CENTRAL)),
            "up_hf": category("flavor", {0: 1.5, 5: binning("abseta", [0, 2.4], [1.6])}),
            "down_hf": category("flavor", {0: 0.5, 5: 0.4}),
        },
    ),
)
MUON = simple(
    "muon",
    [var("abseta"), var("pt")],
    {
        "nodetype": "multibinning",
        "inputs": ["abseta", "pt"],
        "edges": [[0.0, 1.2, 2.4], [15.0, 40.0, float("inf")]],
        "content": [0.91, 0.92, 0.93, 0.94],
        "flow": "error",
    },
)
UNIFORM = simple("uniform", [var("n")], binning("n", {"n": 4, "low": 0.0, "high": 2.0}, [1, 2, 3, 4]))
OTHERWISE = simple(
    "otherwise",
    [var("kind", "string"), var("x")],
    category(
        "kind", {"a": binning("x", [0, 1], [2.0], 7.0)}, default=binning("x", [0, 1, 2], [3.0, 4.0], "wrap")
    ),
)
DOUBLED = simple(
    "doubled",
    [var("pt")],
    {
        "nodetype": "transform",
        "input": "pt",
        "rule": {"nodetype": "formularef", "index": 0, "parameters": [2.0]},
        "content": binning("pt", [0, 100], [formula("x", "pt")]),
    },
    generic_formulas=[formula("[0]*x", "pt")],
)
LEVEL_1 = simple("level1", [var("pt"), var("rho")], binning("pt", [0, 1000], [formula("1-0.01*x", "rho")]))
LEVEL_2 = simple(
    "level2", [var("eta"), var("pt")], binning("pt", [10, 100], [binning("eta", [-5, 5], [1.5], "clamp")])
)
JEC = {
    "name": "jec",
    "inputs": [var("eta"), var("pt"), var("rho")],
    "output": var("out"),
    "inputs_update": ["pt"],
    "input_op": "*",
    "output_op": "*",
    "stack": ["level1", "level2"],
}
TOY = {
    "schema_version": 2,
    "corrections": [BTAG, MUON, UNIFORM, OTHERWISE, DOUBLED, LEVEL_1, LEVEL_2],
    "compound_corrections": [JEC],
}


@pytest.fixture
def toy(tmp_path):
    """Return the path of a payload with bare ``Infinity``, as some POGs write it."""
    path = tmp_path / "toy.json"
    path.write_text(json.dumps(TOY))
    assert "Infinity" in path.read_text()
    return str(path)


@pytest.fixture
def btag(toy):
    return open_payload(Payload(toy, "btag"))


JETS = ak.Array([[30.0, 60.0], [], [80.0]])
"""Transverse momenta [GeV]."""
ETAS = ak.Array([[0.5, 0.5], [], [2.0]])
FLAVOURS = ak.Array([[5, 4], [], [0]])


class TestOpening:
    def test_tells_what_it_takes(self, btag, toy):
        assert (btag.file, btag.key) == (toy, "btag")
        assert btag.inputs == (
            Input("systematic", "string"),
            Input("flavor", "int"),
            Input("abseta", "real"),
            Input("pt", "real"),
        )
        assert btag.choices("systematic") == ("central", "up_hf", "down_hf")
        assert btag.choices("flavor") == (0, 4, 5)
        assert btag.choices("pt") is None

    def test_the_range_is_told_only_where_all_outside_is_refused(self, btag, toy):
        assert btag.limits("abseta") is None  # up_hf of flavour 0 does not look at it
        assert open_payload(Payload(toy, "muon")).limits("pt") == (15, np.inf)
        assert open_payload(Payload(toy, "uniform")).limits("n") == (0, 2)
        assert open_payload(Payload(toy, "otherwise")).limits("x") is None
        assert open_payload(Payload(toy, "otherwise")).choices("kind") is None  # has a default
        assert open_payload(Payload(toy, "doubled")).limits("pt") is None  # the range is that of 2 pt
        assert open_payload(Payload(toy, "jec")).limits("pt") == (0, 1000)

    def test_an_input_that_is_not_there_names_the_nearest(self, btag):
        with pytest.raises(PayloadError, match=r"has no input 'abs_eta'. Did you mean 'abseta'\?"):
            btag.choices("abs_eta")

    @pytest.mark.parametrize("name", ["toy.json.gz", "toy.json", "toy"])
    def test_gzip_is_seen_from_the_content(self, tmp_path, name):
        path = tmp_path / name
        path.write_bytes(gzip.compress(json.dumps(TOY).encode()))
        assert open_payload(Payload(str(path), "btag")).evaluate("central", 5, 0.5, 30.0) == 1.1

    def test_simple_and_compound_corrections_of_one_file_share_it(self, toy, monkeypatch):
        counted = []
        read = payloads._read
        monkeypatch.setattr(payloads, "_read", lambda *args: counted.append(1) or read(*args))
        first = open_payload(Payload(toy, "muon"))
        assert open_payload(Payload(toy, "jec")).evaluate(0.0, 100.0, 20.0) == pytest.approx(0.8 * 1.5)
        assert open_payload(Payload(toy, "muon")) is first
        assert len(counted) == 1

    def test_a_file_that_changed_is_read_again(self, toy, tmp_path):
        assert open_payload(Payload(toy, "muon")).evaluate(0.0, 20.0) == 0.91
        other = {**MUON, "data": {**MUON["data"], "content": [0.81, 0.82, 0.83, 0.84]}}
        (tmp_path / "new.json").write_text(json.dumps({"schema_version": 2, "corrections": [other]}))
        (tmp_path / "new.json").replace(toy)
        assert open_payload(Payload(toy, "muon")).evaluate(0.0, 20.0) == 0.81

    def test_threads_open_a_file_once_and_agree(self, toy, monkeypatch):
        counted, results = [], []
        read = payloads._read
        monkeypatch.setattr(payloads, "_read", lambda *args: counted.append(1) or read(*args))
        pts = np.linspace(20, 99, 5000)
        start = threading.Barrier(8)

        def work():
            start.wait()
            evaluator = open_payload(Payload(toy, "btag"))
            results.extend(evaluator.evaluate("central", 5, 2.0, pts) for _ in range(5))

        threads = [threading.Thread(target=work) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(counted) == 1
        assert len(results) == 40
        for result in results:
            np.testing.assert_allclose(result, 1 + 0.01 * pts, rtol=1e-14)

    def test_travels_as_file_and_key(self, btag):
        content = pickle.dumps(btag)
        assert len(content) < 500
        assert pickle.loads(content) is btag

    def test_without_the_file_says_so(self, tmp_path):
        with pytest.raises(
            PayloadError, match=r"there is no file .*none\.json.*whether its file system \(CVMFS"
        ):
            open_payload(Payload(str(tmp_path / "none.json"), "btag"))

    @pytest.mark.parametrize(
        ("content", "words"),
        [
            (b"", "bad.json is not JSON"),
            (b"<html>login</html>", "bad.json is not JSON"),
            (b"\xff\xfe\x00", "bad.json is neither JSON nor gzipped JSON"),
            (gzip.compress(json.dumps(TOY).encode(), mtime=0)[:100], "bad.json cannot be uncompressed"),
            (b"\x1f\x8bxxxxxxxxxxxx", "bad.json cannot be uncompressed"),
            (b"{}", "bad.json is no correctionlib file, schema 2"),
            (b"[]", "bad.json is no correctionlib file, schema 2"),
            (
                b'{"schema_version": 1, "corrections": []}',
                "no correctionlib file, schema 2 .*not backward-compatible",
            ),
            (json.dumps({**TOY, "corrections": [{}]}).encode(), "missing required attribute 'name'"),
        ],
    )
    def test_a_broken_file_is_named_with_the_reason(self, tmp_path, content, words):
        path = tmp_path / "bad.json"
        path.write_bytes(content)
        with pytest.raises(PayloadError, match=words):
            open_payload(Payload(str(path), "btag"))

    def test_a_folder_cannot_be_read(self, tmp_path):
        with pytest.raises(PayloadError, match="cannot be read"):
            open_payload(Payload(str(tmp_path), "btag"))

    def test_an_unknown_key_names_the_nearest_and_what_there_is(self, toy):
        with pytest.raises(PayloadError) as caught:
            open_payload(Payload(toy, "btagg"))
        assert f"{toy} holds no correction 'btagg'. Did you mean 'btag'? It holds 8: 'btag'" in str(
            caught.value
        )
        with pytest.raises(PayloadError, match=r"Did you mean 'jec'\?"):
            open_payload(Payload(toy, "jecs"))


class TestStructure:
    def test_jagged_arguments_give_a_jagged_result(self, btag):
        result = btag.evaluate("central", FLAVOURS, ETAS, JETS)
        assert str(result.type) == "3 * var * float64"
        assert result.to_list() == [[1.1, 1.2], [], [1.8]]

    def test_flat_arguments_count_for_each_object(self, toy):
        evaluator = open_payload(Payload(toy, "jec"))
        eta, pt = ak.Array([[0.0, 1.0], [2.0]]), ak.Array([[50.0, 60.0], [20.0]])
        for rho in (np.array([10.0, 20.0]), ak.Array([10.0, 20.0])):
            result = evaluator.evaluate(eta, pt, rho)
            np.testing.assert_allclose(ak.flatten(result), [0.9 * 1.5, 0.9 * 1.5, 0.8 * 1.5])
            assert ak.num(result).to_list() == [2, 1]

    def test_numpy_gives_numpy_and_awkward_gives_awkward(self, btag):
        pts = np.array([30, 60], dtype=np.float32)
        flat = btag.evaluate("central", np.array([5, 4], dtype=np.uint8), 0.5, pts)
        assert isinstance(flat, np.ndarray)
        assert flat.dtype == np.float64
        assert flat.tolist() == [1.1, 1.2]
        result = btag.evaluate("central", 5, 0.5, ak.Array(pts))
        assert isinstance(result, ak.Array)
        assert str(result.type) == "2 * float64"

    @pytest.mark.parametrize("number", [30, 30.0, np.float32(30), np.int64(30), np.array(30.0)])
    def test_scalars_give_a_number(self, btag, number):
        result = btag.evaluate("central", 5.0, 0, number)
        assert isinstance(result, float)
        assert result == 1.1

    def test_whole_numbers_are_taken_at_real_inputs(self, btag):
        assert btag.evaluate("central", np.array([5.0]), np.array([0]), np.array([30])).tolist() == [1.1]

    @pytest.mark.parametrize(
        ("pt", "kind"),
        [
            (ak.Array([[1.0]])[:0], "0 * var * float64"),
            (ak.Array([[1.0], [2.0]])[:, :0], "2 * var * float64"),
            (ak.Array([1.0])[:0], "0 * float64"),
        ],
    )
    def test_without_objects_the_payload_is_not_asked(self, btag, pt, kind, monkeypatch):
        monkeypatch.setattr(btag, "_correction", None)
        assert str(btag.evaluate("central", 5, pt, pt).type) == kind

    def test_without_events_numpy_stays_numpy(self, btag):
        result = btag.evaluate("central", 5, 0.5, np.array([]))
        assert isinstance(result, np.ndarray)
        assert result.shape == (0,)

    @pytest.mark.parametrize(
        "form",
        [
            lambda pt: pt[[2, 0, 1]][[1, 2, 0]],
            lambda pt: ak.concatenate([pt[:1], pt])[1:],
            lambda pt: ak.Array(ak.contents.IndexedArray(ak.index.Index64([0, 1, 2]), pt.layout)),
            lambda pt: ak.drop_none(ak.concatenate([pt, ak.Array([[None], [None], [None]])], axis=1)),
            lambda pt: ak.mask(pt, pt > 0),
            lambda pt: ak.mask(pt, ak.num(pt) >= 0),
            lambda pt: ak.zip({"pt": pt, "x": pt}).pt[pt > 0],
        ],
        ids=["re-ordered", "sliced", "indexed", "dropped", "optional", "optional lists", "of records"],
    )
    def test_every_form_of_jagged_array_gives_the_same(self, btag, form):
        result = btag.evaluate("central", FLAVOURS, ETAS, form(JETS))
        assert str(result.type) == "3 * var * float64"
        assert result.to_list() == [[1.1, 1.2], [], [1.8]]

    def test_regular_arrays_are_lists_of_one_length(self, btag):
        result = btag.evaluate("central", 5, 0.5, ak.from_numpy(np.full((2, 3), 30.0)))
        assert result.to_list() == [[1.1] * 3] * 2

    def test_arrays_that_are_not_read_yet_are_read(self, btag):
        form, length, buffers = ak.to_buffers(JETS)
        lazy = {name: (lambda content=content: content) for name, content in buffers.items()}
        virtual = ak.from_buffers(form, length, lazy)
        assert not virtual.layout.is_all_materialized
        assert btag.evaluate("central", FLAVOURS, ETAS, virtual).to_list() == [[1.1, 1.2], [], [1.8]]

    def test_is_what_correctionlib_gives_one_by_one(self, btag, toy):
        rng = np.random.default_rng(7)
        counts = rng.integers(0, 5, 200)
        eta, pt, flavour = (
            ak.unflatten(values, counts)
            for values in (
                rng.uniform(0, 2.5, counts.sum()),
                rng.uniform(5, 200, counts.sum()),
                rng.choice([0, 4, 5], counts.sum()),
            )
        )
        plain = correctionlib.CorrectionSet.from_file(toy)["btag"]
        expected = [
            [plain.evaluate("central", *one) for one in zip(*event, strict=True)]
            for event in zip(flavour.to_list(), eta.to_list(), pt.to_list(), strict=True)
        ]
        assert btag.evaluate("central", flavour, eta, pt).to_list() == expected


class TestWrongArguments:
    @pytest.mark.parametrize(
        ("args", "words"),
        [
            (("central", 5, 0.5), "it got 3 arguments, but takes 4: systematic (string), flavor (int)"),
            (
                (JETS, 5, 0.5, "central"),
                "input 'systematic' (argument 1) takes one text for all objects, not an array",
            ),
            ((5, 5, 0.5, JETS), "input 'systematic' (argument 1) takes one text for all objects, not 5"),
            ((None, 5, 0.5, JETS), "takes one text for all objects, not None"),
            (
                ("central", 5, "x", JETS),
                "input 'abseta' (argument 3) takes numbers, not 'x'. The arguments are, in order",
            ),
            (
                ("central", JETS + 0.5, ETAS, JETS),
                "input 'flavor' (argument 2) takes whole numbers, not 30.5",
            ),
            (("central", 5.5, ETAS, JETS), "input 'flavor' (argument 2) takes whole numbers, not 5.5"),
            (("central", 5, 0.5, None), "input 'pt' (argument 4) takes numbers, as a number or an array"),
            (("central", 5, 0.5, [1.0]), "not a list"),
            (("central", 5, 0.5, ak.Array([["a"]])), "not an array of type 1 * var * string"),
            (("central", 5, 0.5, ak.Array(["a"])), "not an array of type 1 * string"),
            (("central", 5, 0.5, ak.Array([[[1.0]]])), "not an array of type 1 * var * var * float64"),
            (
                ("central", 5, 0.5, ak.Array([{"x": 1}])),
                "not whole objects (objects): take a field of them, such as objects.x",
            ),
            (
                ("central", 5, ak.zip({"pt": [[1.0]], "eta": [[2.0]]}, with_name="Muon"), 30),
                (
                    "(argument 3) takes numbers, as a number or an array with one per event or one per object, not whole objects "
                    "(Muon): take a field of them, such as Muon.pt."
                ),
            ),
            (("central", 5, 0.5, np.ones((2, 2))), "not an array of shape (2, 2)"),
            (("central", 5, 0.5, np.array(["a"])), "not an array of shape (1,) and dtype <U1"),
            (
                ("central", 5, ETAS[:2], JETS),
                "input 'abseta' (argument 3) has 2 entries, but input 'pt' (argument 4) has 3",
            ),
            (("central", 5, np.ones(2), np.ones(3)), "has 2 entries, but input 'pt' (argument 4) has 3"),
            (
                ("central", 5, ETAS[:, :1], JETS),
                "different numbers of objects, in event 0 of the chunk 1 and 2",
            ),
        ],
    )
    def test_say_which_and_what_was_expected(self, btag, toy, args, words):
        with pytest.raises(PayloadError) as caught:
            btag.evaluate(*args)
        assert str(caught.value).startswith(f"cannot evaluate correction 'btag' of {toy}: ")
        assert words in str(caught.value)

    @pytest.mark.parametrize(
        "pt",
        [
            ak.Array([[30.0, None], [], [80.0]]),
            ak.Array([[30.0, 40.0], None, [80.0]]),
            ak.Array([30.0, None, 40.0]),
            np.ma.masked_array([1.0, 2.0, 3.0], [False, True, False]),
        ],
    )
    def test_missing_values_are_left_to_the_caller(self, btag, pt):
        with pytest.raises(
            PayloadError, match=r"input 'pt' \(argument 4\) is None for 1 values. Leave these out"
        ):
            btag.evaluate("central", 5, 0.5, pt)

    @pytest.mark.parametrize("key", ["btag", "muon"])
    def test_nan_is_refused_although_correctionlib_would_put_it_into_a_bin(self, toy, key):
        first = ("central", 5) if key == "btag" else ()
        with pytest.raises(PayloadError, match=r"input 'pt' .* is NaN for 1 of 3 values. Give them a number"):
            open_payload(Payload(toy, key)).evaluate(*first, 0.5, np.array([30, np.nan, 40]))
        with pytest.raises(PayloadError, match="is NaN"):
            open_payload(Payload(toy, key)).evaluate(*first, 0.5, float("nan"))


class TestRefusedValues:
    def test_outside_the_range_says_range_values_and_remedy(self, btag, toy):
        eta = ak.Array([[0.5, 2.5], [], [2.7]])
        with pytest.raises(PayloadError) as caught:
            btag.evaluate("central", FLAVOURS, eta, JETS)
        assert str(caught.value) == (
            f"cannot evaluate correction 'btag' of {toy}: input 'abseta' (argument 3) is 2.5 to 2.7 for 2 of 3 values, "
            "outside the range 0 <= abseta < 2.5 of the payload. Clamp it, np.minimum(abseta, 2.499999761581421), or leave "
            "such objects out in the transform_in of an event correction."
        )

    def test_where_nearly_all_values_are_outside_the_order_is_asked_first(self, toy):
        muon = open_payload(Payload(toy, "muon"))
        with pytest.raises(PayloadError) as caught:
            muon.evaluate(np.array([30.0, 50.0]), np.array([15.0, 15.0]))
        assert "for 2 of 2 values" in str(caught.value)
        assert str(caught.value).endswith(
            "of the payload. Are the arguments in the right order? The payload takes abseta, pt. If they are, clamp it, "
            "np.minimum(abseta, 2.3999998569488525), or leave such objects out in the transform_in of an event correction."
        )

    @pytest.mark.parametrize("kind", [np.float32, np.float64])
    def test_the_remedy_works_for_jagged_arrays_of_either_precision(self, toy, kind):
        muon = open_payload(Payload(toy, "muon"))
        given = {"abseta": ak.Array([[2.4, 3.0], [0.1]]), "pt": ak.Array([[14.9, 20.0], [1.0]])}
        given = {name: ak.values_astype(values, kind) for name, values in given.items()}
        with pytest.raises(PayloadError) as caught:
            muon.evaluate(given["abseta"], given["pt"])
        remedies = [part.split(", or ")[0] for part in str(caught.value).split("Clamp it, ")[1:]]
        assert remedies == ["np.minimum(abseta, 2.3999998569488525)", "np.maximum(pt, 15.0)"]
        clamped = [eval(text, {"np": np, **given}) for text in remedies]
        assert muon.evaluate(*clamped).to_list() == [[0.93, 0.93], [0.91]]

    @pytest.mark.parametrize("edge", [0.9, 1.3, 1.479, 2.1, 2.4, 4.7, 5.191, 120.0, 500.3])
    @pytest.mark.parametrize("kind", [np.float32, np.float64])
    def test_what_the_remedy_gives_is_inside_the_range(self, edge, kind, tmp_path):
        bins = {
            "nodetype": "binning",
            "input": "x",
            "edges": [-edge, 0.0, edge],
            "content": [1.0, 2.0],
            "flow": "error",
        }
        variables = {"inputs": [{"name": "x", "type": "real"}], "output": {"name": "w", "type": "real"}}
        content = {
            "schema_version": 2,
            "corrections": [{"name": "w", "version": 1, **variables, "data": bins}],
        }
        path = tmp_path / "edges.json"
        path.write_text(json.dumps(content))
        payload = open_payload(Payload(str(path), "w"))
        for value in (-2 * edge, 2 * edge):
            with pytest.raises(PayloadError) as caught:
                payload.evaluate(np.array([value], dtype=kind))
            text = str(caught.value).partition("lamp it, ")[2].partition(", or ")[0]
            assert payload.evaluate(eval(text, {"np": np, "x": np.array([value], dtype=kind)}))[0] in (
                1.0,
                2.0,
            )

    def test_two_inputs_are_both_named(self, toy):
        with pytest.raises(PayloadError) as caught:
            open_payload(Payload(toy, "muon")).evaluate(np.array([2.5, 1.0]), np.array([20.0, 10.0]))
        assert "input 'abseta' (argument 1) is 2.5 for 1 of 2 values" in str(caught.value)
        assert "And input 'pt' (argument 2) is 10 for 1 of 2 values, outside the range 15 <= pt < inf" in str(
            caught.value
        )

    def test_infinity_can_only_be_masked(self, toy):
        with pytest.raises(
            PayloadError, match="pt < inf of the payload. Only finite values can be looked up: leave such"
        ):
            open_payload(Payload(toy, "muon")).evaluate(1.0, np.inf)

    def test_below_and_above_are_both_clamped(self, toy):
        with pytest.raises(PayloadError, match=r"np.maximum\(np.minimum\(n, 1.9999998807907104\), 0.0\)"):
            open_payload(Payload(toy, "uniform")).evaluate(np.array([-1.0, 1.0, 2.0]))

    def test_scalars_are_not_counted(self, btag):
        with pytest.raises(PayloadError, match=r"\(argument 3\) is 2.5, outside the range 0 <= abseta < 2.5"):
            btag.evaluate("central", 5, 2.5, 30)

    def test_an_unknown_key_names_the_nearest(self, btag):
        with pytest.raises(PayloadError) as caught:
            btag.evaluate("up_lf", FLAVOURS, ETAS, JETS)
        assert str(caught.value).endswith(
            "input 'systematic' (argument 1) is 'up_lf', but the payload has only 'central', 'up_hf', 'down_hf'. "
            "Did you mean 'up_hf'? Ask for one of these."
        )

    def test_a_key_that_is_there_for_other_flavours_only_says_with_what(self, btag):
        with pytest.raises(PayloadError) as caught:
            btag.evaluate("up_hf", FLAVOURS, ETAS, JETS)
        assert str(caught.value).endswith(
            "input 'flavor' (argument 2) is 4 for 1 of 3 values, but with systematic='up_hf' the payload has only 0, 5. "
            "Leave such objects out in the transform_in of an event correction, or ask for what it has."
        )

    def test_the_range_is_that_of_the_branch_that_was_taken(self, btag):
        with pytest.raises(
            PayloadError, match=r"is 2.45 for 1 of 2 values, outside the range 0 <= abseta < 2.4 "
        ):
            btag.evaluate("up_hf", np.array([5, 0]), 2.45, np.array([30.0, 30.0]))

    def test_a_rewritten_input_is_looked_at_as_rewritten(self, toy):
        doubled = open_payload(Payload(toy, "doubled"))
        assert doubled.evaluate(np.array([10.0, 49.0])).tolist() == [20.0, 98.0]
        with pytest.raises(PayloadError, match=r"input 'pt' \(argument 1\) is 100 to 120 for 2 of 3 values"):
            doubled.evaluate(np.array([10.0, 50.0, 60.0]))

    def test_the_second_of_a_compound_sees_what_the_first_made(self, toy):
        jec = open_payload(Payload(toy, "jec"))
        with pytest.raises(
            PayloadError, match=r"input 'pt' \(argument 2\) is 8 for 1 of 2 values, outside the range 10 "
        ):
            jec.evaluate(0.0, np.array([10.0, 50.0]), 20.0)  # 10 * (1 - 0.01 * 20)
        with pytest.raises(PayloadError, match=r"is -1 for 1 of 2 values, outside the range 0 <= pt < 1000 "):
            jec.evaluate(0.0, np.array([-1.0, 50.0]), 20.0)

    def test_defaults_and_wrapping_refuse_nothing(self, toy):
        otherwise = open_payload(Payload(toy, "otherwise"))
        assert otherwise.evaluate("a", np.array([-1.0, 0.5, 3.0])).tolist() == [7, 2, 7]
        assert otherwise.evaluate("b", np.array([-0.5, 0.5, 2.5, 3.5])).tolist() == [4, 3, 3, 4]

    def test_what_cannot_be_explained_is_what_correctionlib_says(self, btag, toy, tmp_path):
        (tmp_path / "gone.json").write_text("no longer JSON")
        (tmp_path / "gone.json").replace(toy)
        with pytest.raises(PayloadError, match="correctionlib says: Index above bounds in Binning"):
            btag.evaluate("central", 5, 2.5, 30)

    GRID = [-1.0, 0.0, 0.5, 1.0, 1.9999, 2.0, 2.4, 2.5, 15.0, 49.0, 50.0, 99.0, 100.0, 999.0, 1000.0, np.inf]

    @pytest.mark.parametrize(
        "key", ["btag", "muon", "uniform", "otherwise", "doubled", "level1", "level2", "jec"]
    )
    def test_the_explanation_refuses_what_correctionlib_refuses(self, toy, key):
        evaluator = open_payload(Payload(toy, key))
        values = {"string": ["central", "up_hf", "a", "b"], "int": [0, 4, 5, 6], "real": self.GRID}
        plain = evaluator._correction
        for args in itertools.product(*(values[one.kind] for one in evaluator.inputs)):
            if key == "otherwise" and np.inf in args:
                continue  # what has no place on a circle is left to correctionlib's words
            try:
                plain.evaluate(*args)
                raised = False
            except (RuntimeError, IndexError):
                raised = True
            assert bool(refusals(TOY, key, evaluator.inputs, args)) == raised, args


def correction(toy, **changes):
    given = {
        "name": "btag_shape",
        "type": "event",
        "file": toy,
        "key": "btag",
        "args": [SYS, ObjVar("Jet", "hadronFlavour"), ObjVar("Jet", "eta"), ObjVar("Jet", "pt")],
        "nominal_idx": "central",
        "reduce": "prod",
        "uncertainty_sources": [{"name": "hf", "up_and_down_idx": ["up_hf", "down_hf"]}],
    }
    return Correction(**(given | changes))


def flavour_dependent(factor):
    return factor


class TestChecks:
    def test_what_fits_has_no_problems(self, toy):
        assert check_correction(correction(toy), "corrections of 2017") == []

    def test_a_missing_file_is_one_problem_for_all_that_use_it(self, tmp_path):
        sources = [{"name": f"s{i}", "up_and_down_idx": ["up_hf", "down_hf"]} for i in range(5)]
        problems = check_correction(
            correction(str(tmp_path / "no.json"), uncertainty_sources=sources), "corrections of 2017"
        )
        assert len(problems) == 1
        assert problems[0].startswith(
            "corrections of 2017, correction 'btag_shape', nominal value and sources 's0', 's1', 's2' and 2 more: there is "
            f"no file {tmp_path / 'no.json'}"
        )

    def test_missing_files_are_listed_once(self, toy, tmp_path):
        gone, other = str(tmp_path / "a.json"), str(tmp_path / "nowhere" / "b.json")
        given = [Payload(gone, "x"), Payload(toy, "btag"), Payload(other, "x"), Payload(gone, "y")]
        assert missing_files(given) == [gone, other]
        assert missing_files([]) == []

    @pytest.mark.parametrize(
        ("changes", "words"),
        [
            ({"key": "btags"}, "holds no correction 'btags'. Did you mean 'btag'?"),
            (
                {"args": [SYS, ObjVar("Jet", "eta")]},
                "takes 4 arguments, systematic (string), flavor (int), abseta (real)",
            ),
            (
                {"nominal_idx": "centrall"},
                "'btag_shape': the systematic key 'centrall' is unknown to argument 1 of 'btag'",
            ),
            ({"nominal_idx": "centrall"}, "Did you mean 'central'? It has 'central', 'up_hf', 'down_hf'."),
            ({"nominal_idx": None}, "should be 'systematic', a text, not SYS, as 'nominal_idx' is not given"),
            ({"nominal_idx": 0}, "should be 'systematic', a text, not SYS with the key 0"),
            (
                {"uncertainty_sources": [{"name": "hf", "up_and_down_idx": ["up_hf", "dwn_hf"]}]},
                "correction 'btag_shape', source 'hf': the systematic key 'dwn_hf' is unknown",
            ),
            (
                {"uncertainty_sources": [{"name": "set", "members": ["up_hf", "down_hf", "side_hf"]}]},
                "source 'set': the systematic key 'side_hf' is unknown",
            ),
            (
                {"args": [ObjVar("Jet", "pt"), ObjVar("Jet", "hadronFlavour"), ObjVar("Jet", "eta"), SYS]},
                "nominal value and source 'hf': the arguments do not fit 'btag'",
            ),
            (
                {"args": [ObjVar("Jet", "pt"), ObjVar("Jet", "hadronFlavour"), ObjVar("Jet", "eta"), SYS]},
                (
                    "argument 1 should be 'systematic', a text, not the column Jet_pt; argument 4 should be 'pt', a number or a "
                    "column, not SYS, the keys of which are texts. It takes, in order: systematic (string), flavor (int), abseta"
                ),
            ),
            (
                {"args": [SYS, 5, ObjVar("Jet", "pt"), ObjVar("Jet", "eta")]},
                (
                    "argument 3 is the column Jet_pt where it takes 'abseta', and argument 4 the column Jet_eta where it takes "
                    "'pt': they are swapped. It takes, in order: systematic (string), flavor (int), abseta (real), pt (real)"
                ),
            ),
            (
                {"args": [SYS, 5, ObjVar("Jet"), 30]},
                "argument 3, 'abseta', is the whole collection Jet; give a field of it, such as ObjVar('Jet', 'eta'). It takes",
            ),
            ({"args": [SYS, 5, "eta", 30]}, "argument 3 should be 'abseta', a number or a column, not 'eta'"),
            (
                {"args": [SYS, 4.5, 1.0, 30]},
                "argument 2 should be 'flavor', a whole number or a column of them, not 4.5",
            ),
            (
                {"args": [SYS, True, 1.0, 30]},
                "should be 'flavor', a whole number or a column of them, not True",
            ),
            ({"args": [SYS, None, 1.0, 30]}, "a whole number or a column of them, not None"),
            ({"args": [SYS, Payload("x.json", "y"), 1.0, 30]}, "not Payload(file='x.json', key='y')"),
            ({"args": [SYS, 3, 1.0, 30]}, "the constant 3 is unknown to argument 2 of 'btag'"),
            (
                {
                    "key": "muon",
                    "args": [ObjVar("Muon", "eta"), 10],
                    "uncertainty_sources": [],
                    "nominal_idx": None,
                },
                "the constant 10 is outside the range 15 <= pt < inf of argument 2 of 'muon'",
            ),
        ],
    )
    def test_problems_name_the_place_and_what_is_expected(self, toy, changes, words):
        problems = check_correction(correction(toy, **changes), "corrections of 2017")
        assert any(words in one for one in problems), problems
        assert all(one.startswith("corrections of 2017, correction 'btag_shape'") for one in problems)
        assert all(toy in one or "x.json" in one for one in problems)

    def test_a_text_constant_is_looked_up(self, toy):
        fixed = correction(toy, args=["centre", 5, 1.0, 30], nominal_idx=None, uncertainty_sources=[])
        assert "the constant 'centre' is unknown to argument 1" in check_correction(fixed, "corrections")[0]

    def test_where_a_payload_has_a_default_every_key_will_do(self, toy):
        fixed = correction(toy, key="otherwise", args=["c", 10], nominal_idx=None, uncertainty_sources=[])
        assert check_correction(fixed, "corrections") == []

    def test_columns_behind_a_transformation_may_stand_in_its_order(self, toy):
        swapped = [SYS, 5, ObjVar("Jet", "pt"), ObjVar("Jet", "eta")]
        assert check_correction(correction(toy, args=swapped, transform_in=reversed), "corrections") == []

    def test_columns_without_fields_are_left_and_so_are_collections_that_are_transformed(self, toy):
        numbers = [SYS, 5, ObjVar("LHEScaleWeight"), ObjVar("event")]
        assert check_correction(correction(toy, args=numbers), "corrections") == []
        whole = [SYS, 5, ObjVar("Jet"), 30]
        assert check_correction(correction(toy, args=whole, transform_in=reversed), "corrections") == []

    def test_columns_of_other_names_are_left(self, toy):
        other = [SYS, 5, ObjVar("Jet", "pt_raw"), ObjVar("Jet", "eta_jec")]
        assert check_correction(correction(toy, args=other), "corrections") == []

    def test_what_only_a_worker_knows_is_left(self, toy):
        args = [SYS, WorkerEval(lambda: 5), ObjVar("Jet", "eta"), 30]
        assert check_correction(correction(toy, args=args), "corrections") == []

    def test_a_source_has_its_own_payload_and_arguments(self, toy):
        own = {"name": "jes", "key": "level2", "args": [ObjVar("Jet", "eta"), 5], "is_delta": True}
        problems = check_correction(correction(toy, uncertainty_sources=[own]), "corrections")
        assert problems == [
            (
                "corrections, correction 'btag_shape', source 'jes': the constant 5 is outside the range 10 <= pt < 100 of "
                f"argument 2 of 'level2' of {toy}, 'pt'."
            )
        ]

    def test_a_source_with_functions_asks_no_payload(self, toy, tmp_path):
        functions = {"up_function": flavour_dependent, "down_function": flavour_dependent, "args": [1.0]}
        source = {"name": "own", "file": str(tmp_path / "unused.json"), **functions}
        assert check_correction(correction(toy, uncertainty_sources=[source]), "corrections") == []

    def test_payloads_that_functions_receive_must_open(self, toy):
        given = correction(
            toy,
            file=None,
            key=None,
            nominal_function=flavour_dependent,
            args=[Payload(toy, "mouon")],
            nominal_idx=None,
            uncertainty_sources=[
                {
                    "name": "own",
                    "up_function": flavour_dependent,
                    "down_function": flavour_dependent,
                    "args": [Payload(toy, "jecc")],
                }
            ],
        )
        problems = check_correction(given, "corrections")
        assert len(problems) == 2
        assert "correction 'btag_shape': " in problems[0]
        assert "Did you mean 'muon'?" in problems[0]
        assert "source 'own': " in problems[1]
        assert "Did you mean 'jec'?" in problems[1]

    def test_a_normalisation_has_no_payload(self):
        given = Correction(
            name="lumi",
            type="normalisation",
            uncertainty_sources=[{"name": "lumi", "up_and_down_idx": [1.025, 0.975]}],
        )
        assert check_correction(given, "corrections") == []


@pytest.fixture(scope="module")
def pog():
    """Return a function that opens a payload of the POGs."""
    folder = reference_data() / "corrections" / "POG"
    return lambda file, key: open_payload(Payload(str(folder / file), key))


class TestRealPayloads:
    def test_the_bounds_of_the_b_tag_shape_are_told(self, pog):
        shape = pog("BTV/2018_UL/btagging.json.gz", "deepJet_shape")
        with pytest.raises(
            PayloadError, match=r"'abseta' \(argument 3\) is 2.5, outside the range 0 <= abseta < 2.5 "
        ):
            shape.evaluate("central", 5, 2.5, 50, 0.5)
        assert shape.choices("flavor") == (0, 4, 5)
        assert {"central", "up_hf", "up_cferr1", "down_jesFlavorQCD"} <= set(shape.choices("systematic"))

    @pytest.mark.parametrize(
        ("key", "flavour", "others"),
        [("up_hf", 4, "0, 5"), ("up_jesFlavorQCD", 4, "0, 5"), ("up_cferr1", 5, "4")],
    )
    def test_a_b_tag_source_names_the_flavours_that_it_has(self, pog, key, flavour, others):
        shape = pog("BTV/2018_UL/btagging.json.gz", "deepJet_shape")
        flavours = ak.Array([[flavour], [int(others[0]), flavour]])
        with pytest.raises(PayloadError) as caught:
            shape.evaluate(key, flavours, 1.0, 50.0, 0.5)
        assert (
            f"input 'flavor' (argument 2) is {flavour} for 2 of 3 values, but with systematic='{key}' the payload has "
            f"only {others}. Leave such objects out"
        ) in str(caught.value)

    def test_the_bounds_of_muon_scale_factors_are_told(self, pog):
        muon = pog("MUO/2018_UL/muon_Z.json.gz", "NUM_TightID_DEN_TrackerMuons")
        with pytest.raises(PayloadError) as caught:
            muon.evaluate("2018_UL", ak.Array([[2.5, 1.0], [1.0]]), ak.Array([[30.0, 10.0], [30.0]]), "sf")
        assert (
            "input 'abseta' (argument 2) is 2.5 for 1 of 3 values, outside the range 0 <= abseta < 2.4"
            in str(caught.value)
        )
        assert "input 'pt' (argument 3) is 10 for 1 of 3 values, outside the range 15 <= pt < inf" in str(
            caught.value
        )
        with pytest.raises(
            PayloadError, match=r"'year' \(argument 1\) is '2018', but the payload has only '2018_UL'"
        ):
            muon.evaluate("2018", 1.0, 30.0, "sf")
        assert muon.limits("abseta") == (0.0, 2.4)

    @pytest.mark.parametrize(
        ("file", "key", "args"),
        [
            (
                "BTV/2017_UL/btagging.json.gz",
                "deepJet_shape",
                ("central", "flavour", "abseta", "pt", "score"),
            ),
            ("MUO/2017_UL/muon_Z.json.gz", "NUM_TightID_DEN_TrackerMuons", ("2017_UL", "abseta", "pt", "sf")),
            ("LUM/2017_UL/puWeights.json.gz", "Collisions17_UltraLegacy_goldenJSON", ("event", "nominal")),
            (
                "JME/2017_UL/jet_jerc.json.gz",
                "Summer19UL17_V5_MC_L1L2L3Res_AK4PFchs",
                (0.5, "eta", "pt", "event"),
            ),
            ("JME/2017_UL/jet_jerc.json.gz", "Summer19UL17_V5_MC_FlavorQCD_AK4PFchs", ("eta", "pt")),
        ],
    )
    def test_jagged_values_are_those_of_correctionlib_one_by_one(self, pog, file, key, args):
        evaluator = pog(file, key)
        rng = np.random.default_rng(3)
        counts = rng.integers(0, 4, 30)
        n = counts.sum()
        flat = {
            "flavour": rng.choice([0, 4, 5], n),
            "abseta": rng.uniform(0, 2.39, n).astype(np.float32),
            "eta": rng.uniform(-5, 5, n).astype(np.float32),
            "pt": rng.uniform(16, 900, n).astype(np.float32),
            "score": rng.uniform(0, 1, n).astype(np.float32),
        }
        columns = {name: ak.unflatten(values, counts) for name, values in flat.items()}
        columns["event"] = rng.uniform(5, 60, 30).astype(np.float32)
        result = evaluator.evaluate(*(columns.get(one, one) for one in args))
        flat["event"] = columns["event"] if result.ndim == 1 else np.repeat(columns["event"], counts)
        plain = evaluator._correction
        expected = [
            plain.evaluate(*(flat[one][i].item() if one in flat else one for one in args))
            for i in range(len(flat["event"]))
        ]
        np.testing.assert_array_equal(ak.to_numpy(ak.flatten(result, axis=None)), expected)

    def test_payloads_of_every_pog_open_and_tell_their_inputs(self, monkeypatch):
        monkeypatch.setattr(payloads, "_opened", {})  # so that they do not stay in memory
        files = sorted((reference_data() / "corrections" / "POG").rglob("*.json.gz"))
        assert len(files) == 49
        for file in files:
            if "jerc" in file.name and "2018" not in file.parent.name:
                continue  # alike in all years, and some take seconds to open
            first = json.loads(gzip.decompress(file.read_bytes()))["corrections"][0]
            evaluator = open_payload(Payload(str(file), first["name"]))
            assert [(one.name, one.kind) for one in evaluator.inputs] == [
                (one["name"], one["type"]) for one in first["inputs"]
            ]
            told = [evaluator.choices(one.name) or evaluator.limits(one.name) for one in evaluator.inputs]
            assert any(told) or "jerc" in file.name, file
            payloads._opened.clear()

    def test_the_explanation_refuses_what_correctionlib_refuses(self, pog):
        evaluator = pog("MUO/2018_UL/muon_Z.json.gz", "NUM_TightID_DEN_TrackerMuons")
        document = evaluator._opened.document()
        rng = np.random.default_rng(5)
        for eta, pt in zip(rng.uniform(-0.2, 2.8, 100), rng.uniform(0, 60, 100), strict=True):
            args = ("2018_UL", eta, pt, "sf")
            try:
                evaluator._correction.evaluate(*args)
                raised = False
            except RuntimeError:
                raised = True
            assert bool(refusals(document, evaluator.key, evaluator.inputs, args)) == raised

    def test_a_b_tag_correction_with_a_misspelt_source_is_found(self, pog):
        file = pog("BTV/2018_UL/btagging.json.gz", "deepJet_shape").file
        columns = [ObjVar("Jet", name) for name in ("hadronFlavour", "eta", "pt", "btagDeepFlavB")]
        given = Correction(
            name="btag",
            type="event",
            file=file,
            key="deepJet_shape",
            args=[SYS, *columns],
            nominal_idx="central",
            reduce="prod",
            uncertainty_sources=[
                {"name": "hf", "up_and_down_idx": ["up_hf", "down_hf"]},
                {"name": "hfstats1_2018", "up_and_down_idx": ["up_hfstat1", "down_hfstats1"]},
            ],
        )
        problems = check_correction(given, "corrections of 2018")
        assert len(problems) == 1
        assert "source 'hfstats1_2018': the systematic key 'up_hfstat1' is unknown" in problems[0]
        assert "Did you mean 'up_hfstats1'?" in problems[0]
