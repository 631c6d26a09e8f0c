"""Tables as the generated documents have them."""


def table(header: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    """Render a Markdown table."""
    lines = [header, tuple("---" for _ in header), *rows]
    escaped = (
        " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in row) for row in lines
    )
    return "\n".join(f"| {row} |" for row in escaped) + "\n"
