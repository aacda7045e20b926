"""A day as text, year-month-day: one pattern that Python, Rust and JavaScript read alike."""

_LEAP = "0[48]|[2468][048]|[13579][26]"
DAY = (
    "((19|20)[0-9]{2}-((0[1-9]|1[0-2])-(0[1-9]|1[0-9]|2[0-8])|(0[13-9]|1[0-2])-(29|30)|(0[13578]|1[02])-31)"
    f"|(19({_LEAP})|20(00|{_LEAP}))-02-29)"
)
"""Every day of 1900 to 2099, and nothing else. Without ends, so that it can stand within another pattern."""
