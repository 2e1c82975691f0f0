"""The report: one valid page that needs nothing from outside and says what the result says."""

from __future__ import annotations

import json
import re
from collections import Counter
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest
from scipy.special import gamma
from tiny_case import SHORT_GATE, TINY

import epidura as ep
from epidura.delivery import deliver
from epidura.interface import at_contacts, verdict
from epidura.report import DISCLAIMER, _head, interface_lines, references, render
from epidura.result import used_numbers
from epidura.study import versions

VOID = {"meta", "link", "br", "hr", "img", "input", "source", "area", "base", "col", "embed", "track", "wbr"}
SHAPES = {"path", "circle", "rect", "line", "ellipse", "polygon", "polyline", "use", "stop"}
RUDE, EVIL = "<b>&\"quoted\"' bold", "</script><img src=x onerror=alert(1)>"
TITLE = "Pain & <i>more</i> pain"
ABOUT = "Because 1 < 2 & <u>so</u>, tell us, please."


class Page(HTMLParser):
    """Tags in balance, attributes, ids, and the text that a reader sees."""

    def __init__(self, html: str):
        super().__init__(convert_charrefs=True)
        self.stack: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text: dict[str, list[str]] = {}
        self.seen: list[str] = []
        self.scripts: list[str] = []
        self.styles: list[str] = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag, attrs):
        names = [name for name, _ in attrs]
        assert len(names) == len(set(names)), f"an attribute twice in <{tag}>"
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.stack.append(tag)
            self.text.setdefault(tag, []).append("")

    def handle_startendtag(self, tag, attrs):
        assert tag in VOID | SHAPES, f"<{tag}/> closes itself"
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.stack, f"</{tag}> without its start"
        assert self.stack[-1] == tag, f"</{tag}> closes <{self.stack[-1]}> at {self.getpos()}"
        self.stack.pop()

    def handle_data(self, data):
        where = self.stack[-1] if self.stack else ""
        if where == "script":
            self.scripts.append(data)
        elif where == "style":
            self.styles.append(data)
        else:
            self.seen.append(data)
            for tag in set(self.stack):
                self.text[tag][-1] += data

    @property
    def words(self) -> str:
        return " ".join(" ".join(self.seen).split())

    def count(self, tag: str) -> int:
        return sum(name == tag for name, _ in self.tags)


@pytest.fixture(scope="module")
def result(fields):
    program = TINY["programs"][0]
    case = ep.read({**TINY, "title": TITLE, "about": ABOUT, "gate": SHORT_GATE, "programs": [
        {**program, "name": RUDE},
        {**program, "name": EVIL, "contacts": {3: 0.5, 4: -1, 5: 0.5}, "amplitude": "60 % of perception"},
        {"name": "burst", "waveform": {"kind": "burst", "pulses": 2}, "contacts": {4: -1, "case": 1}, "amplitude": "2 mA"},
    ]})
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EPIDURA_CACHE", str(fields))
        return ep.run(case, accuracy="fast")


@pytest.fixture(scope="module")
def html(result) -> str:
    return render(result)


@pytest.fixture(scope="module")
def page(html) -> Page:
    return Page(html)


def test_the_page_is_well_formed(html, page):
    assert html.startswith("<!doctype html>")
    assert page.stack == []
    assert [page.count(tag) for tag in ("html", "head", "body", "main", "h1")] == [1] * 5
    assert page.text["title"][0] == f"{TITLE} · Epidura"
    assert dict(page.tags)["html"]["lang"] == "en"
    assert any(tag == "meta" and attributes.get("charset") == "utf-8" for tag, attributes in page.tags)
    ids = Counter(attributes["id"] for _, attributes in page.tags if "id" in attributes)
    assert [name for name, times in ids.items() if times > 1] == []
    inner = [attributes["href"][1:] for tag,
             attributes in page.tags if tag == "a" and (attributes.get("href") or "").startswith("#")]
    assert inner
    assert set(inner) <= set(ids)


def test_nothing_comes_from_outside(page):
    for tag, attributes in page.tags:
        for name in ("src", "href", "xlink:href", "data", "poster", "srcset", "action"):
            value = attributes.get(name) or ""
            outside = re.match(r"(?:[a-z]+:)?//", value)
            assert not outside or tag == "a", (tag, value)
        assert tag not in {"link", "iframe", "object", "embed", "base"}
        if tag == "script":
            assert "src" not in attributes
        assert not any(name.startswith("on") for name in attributes), (tag, attributes)
        assert "url(" not in (attributes.get("style") or "")
    styles = " ".join(page.styles)
    assert "@import" not in styles
    assert not re.search(r"url\(\s*['\"]?(?:https?:)?//", styles)
    assert sum("Plotly" in script for script in page.scripts) >= 1


def test_links_lead_to_sources(page):
    links = {attributes["href"] for tag, attributes in page.tags if tag == "a" and not (attributes["href"] or "").startswith("#")}
    assert all(re.fullmatch(r"https?://[^\s\"<>]+", link) for link in links), links
    assert "https://doi.org/10.1093/brain/awf111" in links


def test_text_of_a_person_is_text(html, page):
    outside_scripts = re.sub(r"<script.*?</script>", "", html, flags=re.DOTALL)
    for rude in (RUDE, EVIL, TITLE, ABOUT):
        assert rude in "".join(page.seen)
        assert rude not in outside_scripts
    assert not any(tag == "img" for tag, _ in page.tags)
    assert "<b>&" not in outside_scripts
    assert page.text["h1"] == [TITLE]


def test_pictures_do_not_take_names_as_markup(html):
    """Plotly reads <b> in a label as bold, so names have to be escaped there as well."""
    scripts = "".join(re.findall(r"<script[^>]*>(.*?)</script>", html, re.DOTALL)[1:])
    for raw in (RUDE, EVIL):
        encoded = json.dumps(raw)[1:-1]
        for spelled in (encoded, encoded.replace("<", "\\u003c").replace(">", "\\u003e"),
                        encoded.replace("<", "\\u003c").replace(">", "\\u003e").replace("/", "\\u002f")):
            assert spelled not in scripts


def test_every_section_is_there(page, result):
    headings = [" ".join(text.split()) for text in page.text["h2"]]
    for wanted in ("Programs", *(program.name for program in result.case.programs), "Strength and duration",
                   "Leads in the canal", "Contact impedances",
                   "Unverified numbers that this result stands on", "References"):
        assert " ".join(wanted.split()) in headings
    assert page.text["h3"].count("Paraesthesia") == 3


def test_thresholds_and_impedances_are_those_of_the_result(page, result):
    for i in range(3):
        at = result.recruitment.isel(program=i)
        for name in ("perception_threshold", "discomfort_threshold", "programmed_amplitude"):
            value = float(at[name])
            assert (f"{value * 1e3:.2f} mA" if np.isfinite(value) else "not reached") in page.words
        for value in at.dermatome_threshold.values[np.isfinite(at.dermatome_threshold.values)]:
            assert f"{value * 1e3:.2f} mA" in page.words
    for value in np.diag(result.lead_field.impedance):
        assert f"{value:.0f} Ω" in page.words
    assert f"reaches {result.case.rules.felt_fibres:g}" in page.words
    assert "double cable (motor axon of McIntyre, Richardson and Grill (2002))" in page.words


def test_every_unverified_number_is_listed_with_its_source(page, result):
    unverified = [number for number in result.numbers if number.unverified]
    assert unverified
    assert f"{len(unverified)} of {len(result.numbers)} numbers" in page.words
    cells = {" ".join(text.split()) for text in page.text["td"]}
    for number in unverified:
        assert " ".join(number.name.split()) in cells
        assert " ".join(number.source.split()) in cells


def test_every_reference_is_listed(page, result):
    rows = references(result.case)
    assert len(rows) > 5
    cells = {" ".join(text.split()) for text in page.text["td"]}
    for row in rows:
        assert " ".join(row["source"].split()) in cells
    assert {number.source for number in result.numbers} == {row["source"] for row in rows}


def test_versions_timings_key_and_disclaimer_are_there(page, result):
    for name, version in versions().items():
        assert f"{name} {version}" in page.words
    for verb, seconds in result.timings.items():
        assert f"{verb} {seconds:.2f} s" in page.words
    assert result.case.key() in page.words
    assert " ".join(DISCLAIMER.split()) in page.words
    for warning in result.warnings:
        assert warning in page.words


@pytest.fixture(scope="module")
def interfaced(result):
    """The same run with the interface of platinum."""
    case = result.case.but(interface={})
    found = at_contacts(result.lead_field, case.interface, case.programs, result.recruitment.programmed_amplitude.values)
    return type(result)(**{**vars(result), "case": case, "interface": found, "numbers": used_numbers(case, result.canal)})


def test_the_interface_has_its_section(interfaced, page):
    """What is told by hand from the law; the report without an interface has no word of it."""
    covered = Page(render(interfaced))
    assert "Contact interface" in covered.text["h2"]
    assert covered.stack == []
    z, contacts = interfaced.lead_field.impedance, {contact.number: contact for contact in interfaced.canal.contacts}
    area, amplitude = contacts[4].area, interfaced.recruitment.programmed_amplitude.values
    own = 1.57 / area * (2 * np.pi * 1e3) ** -0.91 * np.exp(-0.5j * np.pi * 0.91)
    tissue = z[3, 3] + z[4, 4] - 2 * z[3, 4]
    assert f"4 to 5: {tissue:.0f} → {abs(tissue + 2 * own):.0f} Ω" in covered.words
    assert f"4: {z[3, 3]:.0f} → {abs(z[3, 3] + own):.0f} Ω" in covered.words
    volts = amplitude[0] * np.array([tissue, tissue + 2 * 1.57 * 300e-6**0.91 / gamma(1.91) / area])
    assert f"{volts[0]:.2f} → {volts[1]:.2f} V at 300 µs" in covered.words
    # two pulses of 1 ms against the case at 2 mA
    volts = 2e-3 * np.array([z[3, 3], z[3, 3] + 1.57 * 1e-3**0.91 / gamma(1.91) / area])
    assert f"{volts[0]:.2f} → {volts[1]:.2f} V at 1000 µs" in covered.words
    wagner = 1.57 * 2e-3**0.91 / area / z[3, 3]
    assert f"4: {wagner:.2g} at {1 / (2 * np.pi * 2e-3):.0f} Hz" in covered.words
    assert f"Wagner number {wagner:.2g}, {verdict(wagner)}" in covered.words
    assert "Programs with the case: the case of the generator is the far boundary" in covered.words
    assert "at 1000 Hz" in covered.words
    assert "constant-phase impedance (platinum in saline) 1.57 ohm m2 s^-n, from memory, source not read" in covered.words
    assert "the interface is in the next section" in covered.words
    for words in ("Contact interface", "Wagner", "next section"):
        assert words not in page.words


def test_the_numbers_of_the_interface_are_told_as_unverified(interfaced, result):
    cells = {" ".join(text.split()) for text in Page(render(interfaced)).text["td"]}
    added = [number for number in interfaced.numbers if number not in result.numbers]
    assert sorted(number.value for number in added) == [0.91, 1.57, 20, 1000]
    for number in added:
        assert number.unverified
        assert {number.name, number.source} <= cells
    assert not any("Cantrell" in row["source"] for row in references(result.case))
    rows = [row for row in references(interfaced.case) if "Cantrell" in row["source"]]
    assert {(row["evidence"], row["doi"]) for row in rows} == {("recall", "10.1088/1741-2560/5/1/006")}
    # what the case states itself has no source in the tables
    stated = interfaced.case.but(interface={"magnitude": "0.5 S s^n/m2", "exponent": 0.8, "charge_transfer": None})
    assert not any("Cantrell" in row["source"] for row in references(stated))
    page = Page(render(type(result)(**{**vars(interfaced), "case": stated, "numbers": used_numbers(stated, result.canal)})))
    assert "0.5 S sⁿ/m², n = 0.8, without charge transfer" in page.words


def test_the_interface_in_lines_for_a_terminal(interfaced, result):
    assert interface_lines(result) == []
    lines = interface_lines(interfaced)
    assert "at 1000 Hz" in lines[0]
    assert len(lines) == 1 + len(result.case.programs)
    for program, line in zip(interfaced.summary()["programs"], lines[1:], strict=True):
        one = program["interface"]
        assert program["name"] in line
        assert one["field"] in line
        assert ("4-case" in line) == one["uses_case"] == ("far boundary" in line)
        assert f"{one['tissue_voltage_V']:.2f} -> {one['voltage_V']:.2f} V" in line


def test_a_program_without_an_amplitude_has_no_voltage_in_the_report(interfaced):
    case = interfaced.case
    silent = at_contacts(interfaced.lead_field, case.interface, case.programs, [np.nan, np.inf, 2e-3])
    one = type(interfaced)(**{**vars(interfaced), "interface": silent})
    page = Page(render(one))
    section = page.words.split("Contact interface")[1].split("Unverified numbers")[0]
    assert section.count("not reached") == 2
    assert " V" not in interface_lines(one)[1].split(";")[0]


def test_every_program_has_its_body_map(html, page):
    assert page.count("svg") >= 3
    parts = html.split('<section id="program-')[1:]
    assert len(parts) == 3
    for part in parts:
        section = part[:part.index("</section>")]
        assert section.count("<svg") == 1
        assert "data-dermatome=" in section
        assert section.count("class=\"plotly-graph-div\"") >= 3  # 3-D, axial slice, recruitment


def test_pain_and_patient_are_told(page):
    assert "A person of 50 with failed back surgery; pain in low back, left leg, 5 of 10." in page.words


def test_an_indication_is_told_as_people_call_it(result):
    person = {**result.case.model_dump(mode="json")["patient"], "indication": "non-surgical-back"}
    told = _head(replace(result, case=result.case.but(patient=person)))
    assert "A person of 50 with chronic back pain without surgery; pain in low back" in told


def test_a_program_that_reaches_nothing_is_reported_and_not_hidden(result):
    nothing = result.recruitment.copy(deep=True)
    for name in ("threshold", "threshold_lower", "threshold_upper", "perception_threshold", "discomfort_threshold",
                 "dermatome_threshold"):
        nothing[name] = nothing[name] * np.inf
    for name in ("programmed_amplitude", "strength_duration", "rheobase", "chronaxie"):
        nothing[name] = nothing[name] * np.nan
    nothing["felt"] = nothing.felt & False
    nothing["firing_fibres"], nothing["firing_share"] = nothing.firing_fibres * 0, nothing.firing_share * 0
    page = Page(render(type(result)(**{**vars(result), "recruitment": nothing})))
    assert "not reached" in page.words
    assert page.stack == []


def test_a_case_without_a_patient_has_a_report(result):
    case = ep.read({name: value for name, value in TINY.items() if name != "patient"})
    one = result.recruitment.isel(program=[0]).assign_coords(program=["tonic"])
    page = Page(render(type(result)(**{**vars(result), "case": case, "recruitment": one, "deliveries": result.deliveries[:1],
                                       "firing": result.firing[:1]})))
    assert page.text["h1"] == ["Tiny"]
    assert page.count("svg") >= 1


def section(page: Page) -> str:
    return page.words.split("Types of stimulation side by side")[1].split("Leads in the canal")[0]


def test_types_of_stimulation_stand_side_by_side(result, page):
    """What is told is what the products say; every limit is named with its source."""
    words = section(page)
    assert sum(attributes.get("class") == "wave" for tag, attributes in page.tags if tag == "svg") == 2 * len(result.case.programs)
    cells = [" ".join(text.split()) for text in page.text["td"]]
    for program, told, row, delivery in zip(result.case.programs, result.summary()["stimulation"], range(3), result.deliveries, strict=True):
        assert delivery.amplitude[0] == pytest.approx(float(result.recruitment.programmed_amplitude[row]))
        charge = float(result.recruitment.programmed_amplitude[row]) * program.waveform.pulse_width * 1e6
        assert f"{charge:.3g} µC" in cells
        assert told["balanced"] == (program.waveform.kind == "burst")  # the others are monophasic
        if told["balanced"]:
            assert told["compliance_V"] == pytest.approx(delivery.compliance, abs=1e-6)
            assert f"{told['compliance_V']:.3g} V" in cells
        else:
            assert told["compliance_V"] is None
        assert f"{told['shannon_k']:.2f}" in cells
        fired = told["firing"]
        assert any(cell.startswith(f"{fired['fire']} of {fired['followed']} (") or f"of {fired['followed']} that are near" in cell
                   or "no fibre is near" in cell for cell in cells)
        for limit in told["limits"]:
            assert limit["source"] in words
            assert limit["name"] in words
    assert "Generator:" not in words
    assert cells.count("grows without end") == 2
    assert sum("does not come back" in warning for warning in result.warnings) == 2


def test_firing_that_was_turned_off_has_no_table(result):
    page = Page(render(type(result)(**{**vars(result), "firing": ()})))
    assert "Firing in time" not in page.words
    assert "At the contacts" in section(page)
    assert not any("firing" in told for told in type(result)(**{**vars(result), "firing": ()}).summary()["stimulation"])


def test_a_program_without_an_amplitude_has_no_figures(result):
    silent = type(result)(**{**vars(result), "deliveries": (None, *result.deliveries[1:]), "firing": (None, *result.firing[1:])})
    words = section(Page(render(silent)))
    assert "no amplitude: its perception threshold is not reached" in words
    assert set(silent.summary()["stimulation"][0]) == {"name"}


@pytest.mark.parametrize("model", ["eterna", "proclaim-xr-5", "senza"])
def test_a_generator_has_its_battery_and_its_limits(result, model):
    case = result.case.but(generator=model)
    own = type(result)(**{**vars(result), "case": case, "numbers": used_numbers(case, result.canal)})
    words = section(Page(render(own)))
    assert f"Generator: {model}" in words
    assert ("life" if own.generator.battery == "primary" else "between charges") in words
    for i, told in enumerate(own.summary()["stimulation"]):
        assert ("power" in told) == told["balanced"]
        if told["balanced"]:
            low, high = told["power"]["total_W"]
            assert 0 < low <= high
            assert f"{low * 1e6:.3g}" in words or f"{low * 1e6:.0f}" in words
        assert told["violations"] == [str(one) for one in own.violations(i)]
        for line in told["violations"]:
            assert " ".join(line.split()) in words


def test_an_amplitude_that_follows_from_the_fibres_is_not_held_against_steps(result):
    """One that was written is; both are held against the range."""
    free = result.case.but(generator="axium-drg")
    own = type(result)(**{**vars(result), "case": free})
    assert own.generator.amplitude.step is not None
    assert not any(one.quantity == "amplitude" for one in own.violations(0))
    written = free.but(programs=[free.programs[0].but(amplitude="2.01 mA"), *free.programs[1:]])
    at = (deliver(written.programs[0], result.lead_field), *result.deliveries[1:])
    assert any(one.quantity == "amplitude" for one in type(result)(**{**vars(own), "case": written, "deliveries": at}).violations(0))
