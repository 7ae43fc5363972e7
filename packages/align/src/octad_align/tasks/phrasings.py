"""The phrasings of each operation.

{items} is the list with commas, {spaced} the list with spaces, {other} a second list with commas, {x} and {y} the
arguments. Every placeholder follows a space, and every phrasing holds all of its operation's operands: two tasks
with one prompt are one task.
"""

from octad_align.tasks.task import Operands

PHRASINGS: dict[str, tuple[str, ...]] = {
    "reverse": (
        "Reverse the list: {items}.",
        "What is {spaced} backwards?",
        "Write {items} in reverse order.",
        "Turn around the order of {spaced}.",
        "Read this list from the end: {items}.",
        "Give {items} from last to first.",
    ),
    "first": (
        "What is the first item of {items}?",
        "Give the first element: {spaced}.",
        "Which item comes first in the list {items}?",
        "The list is {items}. Name its first item.",
        "What does {spaced} start with?",
    ),
    "last": (
        "What is the last item of {items}?",
        "Give the last element: {spaced}.",
        "Which item comes last in the list {items}?",
        "The list is {items}. Name its last item.",
        "What does {spaced} end with?",
    ),
    "nth": (
        "What is the {x} item of {items}?",
        "Give the {x} element: {spaced}.",
        "Which item is in {x} place in the list {items}?",
        "The list is {items}. Name its {x} item.",
    ),
    "sort_letters": (
        "Sort the letters: {items}.",
        "Put {spaced} in alphabetical order.",
        "Write {items} from a to z.",
        "Order these letters of the alphabet: {spaced}.",
        "What is {items} sorted alphabetically?",
    ),
    "sort_digits": (
        "Sort the numbers: {items}.",
        "Put {spaced} in increasing order.",
        "Write {items} from smallest to largest.",
        "Order these numbers: {spaced}.",
        "Arrange {items} so that they grow.",
    ),
    "largest": (
        "What is the largest number in {items}?",
        "Find the maximum: {spaced}.",
        "Which of {items} is the biggest?",
        "Give the highest of the numbers {spaced}.",
        "Pick the greatest number from {items}.",
    ),
    "smallest": (
        "What is the smallest number in {items}?",
        "Find the minimum: {spaced}.",
        "Which of {items} is the least?",
        "Give the lowest of the numbers {spaced}.",
        "Pick the smallest number from {items}.",
    ),
    "uppercase": (
        "Write {spaced} in capital letters.",
        "Make these letters uppercase: {items}.",
        "Change {items} to upper case.",
        "Capitalize every letter of {spaced}.",
    ),
    "lowercase": (
        "Write {spaced} in small letters.",
        "Make these letters lowercase: {items}.",
        "Change {items} to lower case.",
        "Turn the capitals {spaced} into small letters.",
    ),
    "remove": (
        "Remove {x} from the list: {items}.",
        "Delete every {x} in {spaced}.",
        "Write {items} without the letter {x}.",
        "Take all {x} out of {spaced}.",
        "What is left of {items} when {x} is dropped?",
    ),
    "replace": (
        "Replace {x} with {y} in the list: {items}.",
        "In {spaced} change every {x} to {y}.",
        "Write {items} with {y} in place of {x}.",
        "Swap each {x} for {y} in {spaced}.",
        "Put {y} wherever {x} stands in {items}.",
    ),
    "count": (
        "How many times does {x} occur in {items}?",
        "Count the letter {x} in {spaced}.",
        "The list is {items}. How often is there a {x} in it?",
        "Give the number of {x} in {spaced}.",
    ),
    "length": (
        "How many items are in {items}?",
        "Count the items: {spaced}.",
        "What is the length of the list {items}?",
        "Give the number of elements in {spaced}.",
    ),
    "contains": (
        "Is {x} in the list {items}?",
        "Does {spaced} contain {x}?",
        "Can you find {x} in {items}?",
        "The list is {items}. Is {x} one of its items?",
        "Does {x} appear in {spaced}?",
    ),
    "repeat": (
        "Repeat {x} {y} times.",
        "Write {x} {y} times.",
        "Say {x} again and again, {y} times in all.",
        "Make a list that holds {x} {y} times.",
    ),
    "next_number": (
        "Which number comes after {x}?",
        "What is the next number after {x}?",
        "Count one up from {x}.",
        "What is one more than {x}?",
        "Which number follows {x}?",
    ),
    "previous_number": (
        "Which number comes before {x}?",
        "What is the number just before {x}?",
        "Count one down from {x}.",
        "What is one less than {x}?",
        "Which number precedes {x}?",
    ),
    "join": (
        "Join the lists {items} and {other}.",
        "Put {items} in front of {other}.",
        "Append {other} to {items}.",
        "Write {items} followed by {other}.",
        "The first list is {items}; the second list is {other}. Make them one list.",
    ),
    "add": (
        "What is {x} plus {y}?",
        "Add {x} and {y}.",
        "Compute {x} + {y}.",
        "What is the sum of {x} and {y}?",
        "How much do {x} and {y} make together?",
    ),
    "larger": (
        "Which is larger, {x} or {y}?",
        "Is {x} or {y} the bigger number?",
        "Give the greater of {x} and {y}.",
        "Compare {x} with {y} and name the larger one.",
    ),
    "swap_ends": (
        "Swap the first and the last item of {items}.",
        "Exchange the ends of {spaced}.",
        "In the list {items} let the first and the last item trade places.",
        "Write {spaced} with its two ends swapped.",
    ),
}


def render(operation: str, template: int, operands: Operands) -> str:
    """Fill phrasing number `template` of `operation` with `operands`."""
    return PHRASINGS[operation][template].format(
        items=", ".join(operands.items),
        spaced=" ".join(operands.items),
        other=", ".join(operands.other),
        x=operands.x,
        y=operands.y,
    )
