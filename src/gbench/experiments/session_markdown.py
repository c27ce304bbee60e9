"""The result of a session of `gbench ab` as Markdown, such as a comment on a pull request."""

from gbench.compare.formats import escaped
from gbench.errors import GbenchError
from gbench.experiments.ab import SessionResult
from gbench.experiments.session import Session
from gbench.experiments.worktrees import SHORT


def as_markdown(session: Session, result: SessionResult, error: GbenchError | None = None) -> str:
    """The sentence, a table of both sides, what differs, and the command. error: the error that ended the session."""
    lines = [f"**{escaped(result.sentence)}**", ""]
    if error is not None:
        lines += [f"The session did not come to its end: {escaped(str(error))}", ""]
    lines += [f"| | | {result.metric.title}, median | runs |", "|---|---|---|---|"]
    for side, value in result.medians.items():
        what = session.files[side]
        if session.compared is not None:
            what = f"{session.compared.commits[side][:SHORT]} {session.compared.subjects[side]}"
        figure = f"{value:.4g} {result.units[side]}"
        lines.append(f"| {side} | {escaped(what)} | {escaped(figure)} | {result.runs[side]} |")
    differences = [*(session.differences if session.compared is None else ()), *(one.text for one in result.causes)]
    if differences:
        lines += ["", "What differs:", "", *(f"- {escaped(text)}" for text in differences)]
    lines += ["", f"The runs alternated ({session.order} order). Command:", "", f"    {session.command_line}"]
    return "\n".join(lines) + "\n"
