"""The commands of `octad`. Each is imported only when it is called, so that every `--help` answers at once."""

from __future__ import annotations

from cyclopts import App

COMMANDS = {
    "quickstart": "From raw text to an evaluated model, on the text that every machine has or on your own.",
    "run": "Carry out a recipe, or continue a run.",
    "chat": "Talk with a run's model, or with any model folder.",
    "eval": "Measure a model on benchmark tasks.",
    "report": "Write the report of a run again, one page that holds everything.",
    "doctor": "Show what this machine can do.",
}

app = App(
    name="octad",
    help="A language model from raw text: corpus, tokenizer, shards, pretrain, SFT, DPO, GRPO, evaluation.",
    suppress_keyboard_interrupt=False,
    help_format="markdown",
)
for order, (name, line) in enumerate(COMMANDS.items()):
    app.command(f"octad.commands.{name}:{name}", name=name, help=line, sort_key=order)
