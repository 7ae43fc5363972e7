import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from octad_data.html_blocks import find_blocks
from octad_data.html_features import FEATURES, features
from octad_data.html_model import ASKED, HOPELESS, INPUTS, context, first_verdicts, likelihoods, model, parse_model
from octad_data.html_scan import scan
from octad_data.html_words import NOT_SHOWN, TEXT_TOPIC, TEXT_TOPICS, TOPIC, TOPICS, topics


def words_of(attributes: str) -> int:
    data = np.frombuffer(f"<div {attributes}>".encode(), dtype=np.uint8)
    return int(topics(data, scan(data))[0][1])


def test_topics_find_words_however_they_are_written():
    for value in ("related-posts", "relatedPosts", "RelatedPosts", "relatedposts", "x related_posts y"):
        assert words_of(f'class="{value}"') & TOPIC["related"], value
    assert words_of("id=site-nav") & TOPIC["navigation"] and words_of("ROLE=navigation") & TOPIC["navigation"]
    assert not words_of("class=shadow") & TOPIC["advertisement"] and words_of("class='x ad'") & TOPIC["advertisement"]
    assert words_of("data-x=nav title=nav") == 0 and words_of("") == 0


@pytest.mark.parametrize("hidden", ["hidden", "hidden=''", "style='color:red; Display : none'", "aria-hidden=true"])
def test_topics_know_what_is_not_shown(hidden):
    assert words_of(hidden) & NOT_SHOWN
    assert not words_of("style='display:block' aria-hidden=false") & NOT_SHOWN


def spelled(value: str) -> str:
    """A value as the words of `TOPICS` are looked for in it: small letters, anything else a border."""
    bordered = re.sub("([a-z])(?=[A-Z])", r"\1_", value)
    return re.sub("[^a-z]", "_", f"_{bordered}_".lower())


@settings(max_examples=200, deadline=None)
@given(st.lists(st.sampled_from([w for t in TOPICS.values() for w in t.split()] + ["x", "-", "Ad", " "]), max_size=4))
def test_topics_match_a_plain_search(parts):
    value = "".join(parts)
    expected = sum(
        TOPIC[name]
        for name, words in TOPICS.items()
        if any(spelled(word).strip("_") in spelled(value) if "_" not in word and "-" not in word
               else re.sub("[^a-z]", "_", word) in spelled(value) for word in words.split())
    )  # fmt: skip
    assert words_of(f'class="{value}"') & ~(NOT_SHOWN * 3) == expected


def test_text_topics_are_found_in_text():
    page = "<p>Lesen Sie auch: mehr</p><p>Foto: dpa</p><p>© 2020</p><p>The boats came in.</p><p>Ähnliche Artikel"
    data = np.frombuffer(page.encode(), dtype=np.uint8)
    said = find_blocks(data, scan(data)).said.tolist()
    for line, name in enumerate(("related", "caption", "copyright")):
        assert said[line] & TEXT_TOPIC[name]
    assert said[3] == 0 and said[4] & TEXT_TOPIC["related"]
    assert all(words == words.lower() for words in TEXT_TOPICS.values())


def page_of(text: str):
    data = np.frombuffer(text.encode(), dtype=np.uint8)
    tree = scan(data)
    blocks = find_blocks(data, tree)
    return tree, blocks, features(tree, *topics(data, tree), blocks)


PAGE = (
    "<nav><a href=a>Home</a><a href=b>News</a></nav><article><h1>The keeper</h1>"
    + "<p>He counted the boats, one after the other, and wrote their names into his book.</p>" * 4
    + "</article><div class=footer>© 2020 <a href=c>Imprint</a></div>"
)


def test_features_are_what_they_say():
    _, _, numbers = page_of(PAGE)
    column = {name: numbers[:, place] for place, name in enumerate(FEATURES)}
    assert numbers.shape == (7, len(FEATURES)) and np.isfinite(numbers).all()
    assert column["in_nav"].tolist() == [1, 0, 0, 0, 0, 0, 0] and column["link_share"][0] == 1
    assert column["after_h1"].tolist() == [-1, 0, 1, 2, 3, 4, 5] and column["repeated"].tolist() == [
        1,
        1,
        4,
        4,
        4,
        4,
        1,
    ]
    assert column["near_footer"].tolist() == [0] * 6 + [1] and column["says_copyright"][6] == 1
    assert column["best_inside"].tolist() == [0, 1, 1, 1, 1, 1, 0] and column["like_count"][2] == 4
    assert column["neighbour+1_link_share"][5] > 0.5 and column["neighbour-1_log_weight"][0] == 0


def test_features_of_a_page_without_text_are_none():
    tree, blocks, numbers = page_of("<div></div>")
    assert numbers.shape == (0, len(FEATURES)) and likelihoods(tree, blocks, numbers).shape == (0,)


def test_model_is_the_table_that_is_shipped():
    known = model()
    assert len(known.weights) == len(FEATURES) and 50 < len(known.roots) < 400
    assert known.feature.max() < len(INPUTS) and (known.higher[known.feature >= 0] > 1).all()


def test_model_walks_its_trees():
    """Against the walk written out in Python."""
    tree, blocks, numbers = page_of(PAGE)
    known = model()
    inputs = context(tree, blocks, numbers, first_verdicts(numbers, known.weights, known.bias))
    expected = []
    for row in inputs:
        total = 0.0
        for tree_number, node in enumerate(known.roots.tolist()):
            if tree_number == ASKED and total < HOPELESS:
                break
            while known.feature[node] >= 0:
                goes_low = row[known.feature[node]] <= known.threshold[node]
                node = int(node + 1 if goes_low else node + known.higher[node])
            total += float(known.threshold[node])
        expected.append(1 / (1 + np.exp(-total)))
    chances = likelihoods(tree, blocks, numbers)
    assert chances == pytest.approx(expected, rel=1e-6)
    assert (chances[2:6] > 0.5).all() and chances[0] < 0.2 and chances[6] < 0.2


def test_model_reads_a_table():
    table = "linear\tbias\t-1\nlinear\tlinks\t2\ntree\nnode\tlinks\t0.5\t2\nleaf\t-3\nleaf\t3\ntree\nleaf\t0.25\n"
    known = parse_model(table)
    assert known.bias == -1 and known.weights[FEATURES.index("links")] == 2 and known.roots.tolist() == [0, 3]
    assert known.threshold.tolist() == [0.5, -3, 3, 0.25] and known.higher[0] == 2
    assert first_verdicts(np.zeros((1, len(FEATURES)), dtype=np.float32), known.weights, 0.0).tolist() == [0.5]
