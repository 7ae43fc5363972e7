"""`octad chat`: talk with a model, at a terminal or in a pipe."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

if TYPE_CHECKING:
    from octad.chat import ChatSettings
    from octad.text_model import TextModel


def chat(
    model: Path,
    *,
    prompt: Annotated[str | None, Parameter(name=["--prompt", "-p"])] = None,
    stage: str = "",
    system: str = "",
    temperature: float = 0.0,
    max_new_tokens: int = 256,
    seed: int | None = None,
) -> None:
    """Talk with a run's model, or with any model folder.

    At a terminal it is a conversation; /help shows its commands. Where standard input is a pipe, every line of it is a
    question of its own and gets one line, in which the answer's line ends are escaped as in C.

    Parameters
    ----------
    model
        The folder of a run, or of a model in Hugging Face's layout.
    prompt
        Answer this and leave.
    stage
        Of a run: pretrain, sft, dpo or grpo; without it the newest that is finished.
    system
        What the model is told before the first turn.
    temperature
        0 takes the most likely token; 1 is the model's own spread.
    max_new_tokens
        Longest answer.
    seed
        One seed and one conversation give one answer; without it every time another, unless the temperature is 0.
    """
    import secrets
    import sys

    from octad.chat import ChatSettings
    from octad.chat_terminal import shown

    settings = ChatSettings(temperature, max_new_tokens, secrets.randbits(32) if seed is None else seed)
    if prompt is not None:
        answer = _answers(_load(model, stage), settings, system, prompt)
        print("".join(shown(iter([answer]))) if sys.stdout.isatty() else answer)
    elif sys.stdin.isatty():
        _talk(model, stage, settings, system)
    else:
        _answer_lines(_load(model, stage), settings, system)


def _load(path: Path, stage: str) -> TextModel:
    import torch

    from octad.model_folder import find_model
    from octad.text_model import TextModel

    found = find_model(path, stage)
    return TextModel.load(found.folder, "cuda" if torch.cuda.is_available() else "cpu")


def _answers(text_model: TextModel, settings: ChatSettings, system: str, question: str) -> str:
    from octad.chat import Conversation

    return "".join(Conversation(text_model, settings, system).ask(question))


def _answer_lines(text_model: TextModel, settings: ChatSettings, system: str) -> None:
    import sys

    from octad.errors import OctadError

    for number, line in enumerate(sys.stdin, 1):
        question = line.rstrip("\r\n")
        try:
            text = _answers(text_model, settings, system, question) if question.strip() else ""
        except OctadError as error:
            raise OctadError(f"line {number}: {error}") from error
        print(text.replace("\\", "\\\\").replace("\r", "\\r").replace("\n", "\\n"), flush=True)


def _talk(path: Path, stage: str, settings: ChatSettings, system: str) -> None:
    import contextlib

    with contextlib.suppress(ImportError):
        import readline  # noqa: F401 - gives input() line editing and history
    from rich.console import Console

    from octad.chat import Conversation
    from octad.chat_terminal import ChatTerminal
    from octad.model_folder import find_model

    console = Console(highlight=False, soft_wrap=True)
    found = find_model(path, stage)
    text_model = _load(path, stage)
    conversation = Conversation(text_model, settings, system)
    text_model.prompt([{"role": "user", "content": ""}])  # a model that cannot answer says so before the first question
    console.print(f"{found.title}: {text_model.context:,} tokens of context. /help shows the commands.", markup=False)
    if found.stage == "pretrain":
        console.print("It has seen no conversation yet: expect it to go on rather than to answer.", style="dim")
    ChatTerminal(conversation, console, input, lambda name: _load(path, name)).run()
