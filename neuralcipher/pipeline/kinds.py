"""The kinds of sections that sealing writes. Source: docs/format.md, section 9. Light, for what needs no torch."""

SECTION_GENERATOR = "generator"
SECTION_FLOW = "flow"
SECTION_AUDIO = "audio"
