"""A conversation at a terminal: lines in, answers streamed out, commands that begin with a slash."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from difflib import get_close_matches
from pathlib import Path

from octad_systems import write_atomically
from rich.console import Console

from octad.chat import Conversation
from octad.errors import OctadError, printable
from octad.text_model import TextModel

HELP = """\
/help            show this
/reset           begin a new conversation
/system TEXT     tell the model who it is; without TEXT, nothing
/stage NAME      let the model of another stage of the run go on
/temperature X   0 for the most likely answer, 1 for the model's own spread
/save FILE       write the conversation as JSON
/quit            leave; so do Ctrl-D and a second Ctrl-C
Ctrl-C stops an answer. A message that begins with a slash is written with two."""
# A model's words must not move the cursor or change the terminal: control characters are shown as their pictures.
PICTURES = {code: 0x2400 + code for code in range(32) if chr(code) not in "\n\t"} | {0x7F: 0x2421}
PICTURES |= dict.fromkeys(range(128, 160), 65533)

LoadStage = Callable[[str], TextModel]


class ChatTerminal:
    """Reads lines, answers, and obeys commands until told to leave.

    Args:
        conversation: what is talked about and with whom.
        console: where it shows.
        read_line: asks for one line; raises EOFError where there is none.
        load_stage: the model of another stage; raises OctadError where there is none.
    """

    def __init__(
        self,
        conversation: Conversation,
        console: Console,
        read_line: Callable[[str], str],
        load_stage: LoadStage,
    ) -> None:
        self.conversation, self.console = conversation, console
        self.read_line, self.load_stage = read_line, load_stage
        self._commands: dict[str, Callable[[str], object]] = {
            "help": lambda _: self._dim(HELP),
            "reset": self._reset,
            "system": self._system,
            "stage": self._stage,
            "temperature": self._temperature,
            "save": self._save,
            "quit": self._quit,
        }
        self._is_leaving, self._was_interrupted, self._has_told = False, False, False
        self._saved: set[Path] = set()

    def run(self) -> None:
        """Talk until Ctrl-D, a second Ctrl-C or /quit."""
        while not self._is_leaving:
            try:
                line = self.read_line("> ")
            except EOFError:
                self.console.print()
                return
            except KeyboardInterrupt:
                self.console.print()
                if self._was_interrupted:
                    return
                self._was_interrupted = True
                self._dim("Ctrl-C again or Ctrl-D leaves")
                continue
            self._was_interrupted = False
            if line.strip():
                self._take(line)

    def _take(self, line: str) -> None:
        try:
            if line.startswith("/") and not line.startswith("//"):
                self._obey(line[1:])
            else:
                self._answer(line[1:] if line.startswith("//") else line)
        except (ValueError, OSError) as error:
            if not (isinstance(error, OSError) or type(error).__module__.startswith("octad")):
                raise
            self._dim(printable(" ".join(str(error).split())))
        except KeyboardInterrupt:
            self._was_interrupted = True
            self.console.print()

    def _answer(self, text: str) -> None:
        pieces = self.conversation.ask(text)
        if self.conversation.num_dropped and not self._has_told:
            self._has_told = True
            self._dim(
                f"the model's context of {self.conversation.text_model.context} tokens is full: "
                "it no longer sees the oldest turns"
            )
        answer, file, is_stopped = self.conversation.last, self.console.file, False
        try:
            for piece in shown(pieces):
                file.write(piece)
                file.flush()
        except KeyboardInterrupt:
            is_stopped = self._was_interrupted = True
        finally:
            if closes := getattr(pieces, "close", None):
                closes()  # keeps the turn as far as it came
        file.write("\n")
        speed = answer.num_tokens / answer.seconds if answer.seconds else 0.0
        facts = [f"{answer.num_tokens:,} tokens", f"{speed:,.0f} tok/s"]
        if is_stopped:
            facts.append("stopped")
        elif not answer.is_finished:
            facts.append("cut off; --max-new-tokens and the context bound an answer")
        self._dim(" · ".join(facts))

    def _obey(self, line: str) -> None:
        name, _, argument = line.partition(" ")
        command = self._commands.get(name)
        if command is None:
            near = get_close_matches(name, self._commands, 1)
            self._dim(f"there is no /{name}{f'; did you mean /{near[0]}?' if near else ''} /help shows what there is")
            return
        command(argument.strip())

    def _reset(self, _: str) -> None:
        self.conversation.reset()
        self._has_told = False
        self._dim("a new conversation")

    def _system(self, text: str) -> None:
        self.conversation.system = text
        self._dim("the model is told so before the first turn" if text else "the model is told nothing beforehand")

    def _stage(self, name: str) -> None:
        if not name:
            raise OctadError("/stage NAME: name a stage of the run, pretrain, sft, dpo or grpo")
        self.conversation.text_model = self.load_stage(name)
        self._dim(f"{name} goes on")

    def _temperature(self, text: str) -> None:
        try:
            temperature = float(text)
        except ValueError:
            raise OctadError(f"/temperature {text}: give a number, 0 for the most likely answer") from None
        self.conversation.set_temperature(temperature)
        self._dim(f"temperature {temperature:g}")

    def _save(self, name: str) -> None:
        if not name:
            raise OctadError("/save FILE: name a file")
        file = Path(name).expanduser().absolute()
        if file.exists() and file not in self._saved:
            raise OctadError(f"{name} exists; name another file")
        content = {"messages": self.conversation.transcript()}
        write_atomically(file, json.dumps(content, ensure_ascii=False, indent=1) + "\n")
        self._saved.add(file)
        self._dim(f"{len(content['messages'])} messages in {name}")

    def _quit(self, _: str) -> None:
        self._is_leaving = True

    def _dim(self, text: str) -> None:
        self.console.print(text, style="dim", markup=False)


def shown(pieces: Iterator[str]) -> Iterator[str]:
    """The pieces with control characters as their pictures."""
    return (piece.translate(PICTURES) for piece in pieces)
