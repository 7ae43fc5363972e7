"""What class names, ids and roles say about an element: words of many sites, found in one pass over the attributes.

Designers write `related-posts`, `relatedPosts` or `relatedposts`; so words are looked for anywhere in a value, and only
short ones (`_ad_`) at the borders of words, which `_` stands for.
"""

from functools import cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from octad_data.html_scan import Array, Scan, hash_of
from octad_data.kernel import allocating_kernel, kernel

TOPICS = {
    "navigation": "_nav navi navbar menu breadcrumb brotkrume crumbs pagination paginat _pager _paging sitemap _skip_ "
    "tabs_ _tabs topnav",
    "header": "header masthead topbar kopf _head_ _top_ siteheader",
    "footer": "footer _foot_ fusszeile copyright imprint impressum legal disclaimer colophon bottom",
    "sidebar": "sidebar side-bar _side_ aside _rail widget secondary marginal rightcol right-col col-right _right_ "
    "leftcol left-col _left_ rechts _seite_ sidecol teaserbox infobox",
    "comment": "comment kommentar disqus respond _reply discussion comentario komment livefyre leserbrief",
    "share": "share sharing social teilen follow facebook twitter whatsapp addthis addtoany _print_ pinterest "
    "linkedin mailto instagram telegram bookmark",
    "related": "related recommend similar trending popular latest recent teaser outbrain taboola suggest mostread "
    "most-read more-posts morenews read-more readmore weiterlesen _mehr_ _more_ further also_ _next_ _prev previous "
    "verwandt ahnlich yarpp upnext crosslink relacionad recirc",
    "advertisement": "advert _ad_ _ads_ adsense adslot _adv sponsor banner anzeige werbung promo affiliate dfp "
    "_gpt commercial marketing",
    "subscribe": "newsletter subscri signup sign-up paywall login _register donate donat _abo _abo_ membership piano "
    "premium plus-",
    "cookie": "cookie consent gdpr popup modal overlay lightbox notice_ notification alert disclaimer toast",
    "byline": "byline author autor _date datum _time_ timestamp publish posted entry-meta post-meta postmeta meta_ "
    "_meta _info_ dateline reading-time readtime verfasser redakt _by_ kicker",
    "labels": "_tag_ _tags tags_ taglist categor kategor keyword taxonom _topic schlagw rubrik",
    "caption": "caption credit bildunterschrift _photo gallery galerie _image_ _img_ figure slideshow _media_ video "
    "player picture bild_ _bild legende",
    "body": "article-body articlebody article__body entry-content entrycontent post-content postcontent article-text "
    "articletext story-body storybody content-body body-content post-body postbody bodytext body-text article-content "
    "articlecontent article__content field-name-body field--name-body richtext rich-text wysiwyg markdown prose "
    "post_content entry_content article_body article_content article_text body_text text-body storytext story-text "
    "postarea post__content entry__content csc-textpic ce-bodytext ce_text rte_ mw-parser-output news-text "
    "article-main single-content blog-content main-text maintext",
    "article": "article artikel _post_ _post entry_ _entry story hentry blog_ _news beitrag",
    "content": "content inhalt _main maincol primary _text text_ _body _copy",
    "lead": "_lead intro vorspann abstract summary excerpt standfirst _dek subtitle subhead subline description "
    "anriss bajada chapo",
    "title": "title headline heading titel _hl_ ueberschrift",
    "hidden": "hidden _hide invisible sr-only screen-reader visuallyhidden visually-hidden offscreen noprint collapse "
    "nodisplay displaynone display-none",
    "listing": "_list list_ grid _card card_ _item_ _items tile carousel slider swiper slick _feed archive teaserlist "
    "collection _loop",
    "forum": "thread _message_ quote signature avatar _user forum",
    "shop": "product price _cart shop review rating _buy basket warenkorb delivery",
    "form": "search _form form_ input filter suche formular captcha contact kontakt",
    "biography": "author-box authorbox author-bio about-author about-the-author _bio_ author-info post-author profile "
    "vcard author-card authorcard author_",
    "button": "button _btn btn_ _cta _link link_ _links action tool_ toolbar tools icon",
    "aside": "factbox fact-box infokasten _box_ box_ _box callout highlight pullquote zitat embed tweet toc_ _toc "
    "table-of-contents inhaltsverzeichnis",
    "recipe": "recipe ingredient rezept zutat instruction zubereitung",
    "code": "highlight_ _code code_ syntax prettyprint",
}
NUM_TOPICS = len(TOPICS)
TOPIC = {name: 1 << place for place, name in enumerate(TOPICS)}
NOT_SHOWN = 1 << NUM_TOPICS  # `hidden`, `aria-hidden="true"`, `style="display:none"`
BODY_PROPERTY = 1 << (NUM_TOPICS + 1)  # `itemprop="articleBody"` and its kin

ATTRIBUTES = {  # name: 1, a value whose words count; 2, style; 3, hidden; 4, aria-hidden; 5, itemprop
    "class": 1, "id": 1, "role": 1, "data-component": 1, "data-testid": 1, "data-module": 1, "data-type": 1,
    "aria-label": 1, "style": 2, "hidden": 3, "aria-hidden": 4, "itemprop": 5, "property": 5,
}  # fmt: skip
MAX_TAG = 4096  # bytes of a start tag that are read
BORDER = 26  # the letter of all that is no letter
LETTERS = 27


class Automaton(NamedTuple):
    """Aho and Corasick's: `step[state, letter]` is the next state, `found[state]` the bits of words that end there."""

    step: NDArray[np.int16]
    found: NDArray[np.int64]


def _automaton(words: dict[str, int]) -> Automaton:
    """One that finds each word (a-z, anything else a border) and reports its bits."""
    step, found = [[0] * LETTERS], [0]
    for word, bits in words.items():
        state = 0
        for letter in word:
            code = ord(letter) - 97 if "a" <= letter <= "z" else BORDER
            if not step[state][code]:
                step[state][code] = len(step)
                step.append([0] * LETTERS)
                found.append(0)
            state = step[state][code]
        found[state] |= bits
    fail, queue = [0] * len(step), [state for state in step[0] if state]
    for state in queue:  # breadth first: the longest proper suffix of each state is known before the state is met
        found[state] |= found[fail[state]]
        for code, target in enumerate(step[state]):
            if target:
                fail[target] = step[fail[state]][code]
                queue.append(target)
            else:
                step[state][code] = step[fail[state]][code]
    return Automaton(np.array(step, dtype=np.int16), np.array(found, dtype=np.int64))


@cache
def topic_automaton() -> Automaton:
    """The words of `TOPICS`."""
    words: dict[str, int] = {}
    for name, listed in TOPICS.items():
        for word in listed.split():
            words[word] = words.get(word, 0) | TOPIC[name]
    return _automaton(words)


@cache
def _attribute_names() -> tuple[NDArray[np.int64], NDArray[np.int8]]:
    return np.array([hash_of(name) for name in ATTRIBUTES], dtype=np.int64), np.array(
        list(ATTRIBUTES.values()), dtype=np.int8
    )


def topics(data: NDArray[np.uint8], found: Scan) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """What the attributes of each element say, and the hash of its class; both int64, shape (elements,).

    The first holds bits of `TOPIC`, `NOT_SHOWN` and `BODY_PROPERTY`; elements with the second the same look the same.

    Cost: 0.1 ms for 100 kB.
    """
    automaton, (hashes, kinds) = topic_automaton(), _attribute_names()
    bits = np.zeros(len(found.tag), dtype=np.int64)
    looks = np.zeros(len(found.tag), dtype=np.int64)
    _topics(data, found.start, found.inner, hashes, kinds, automaton.step, automaton.found, bits, looks)
    return bits, looks


@kernel
def _contains(data: Array, start: int, end: int, pattern: Array) -> bool:
    """Whether a pattern (lower case) is in the bytes, spaces skipped."""
    matched = 0
    for place in range(start, end):
        byte = data[place]
        if byte == 32:
            continue
        byte = byte | 32 if 65 <= byte <= 90 else byte
        if byte == pattern[matched]:
            matched += 1
            if matched == len(pattern):
                return True
        else:
            matched = 1 if byte == pattern[0] else 0
    return False


@kernel
def _words_in(data: Array, start: int, end: int, step: Array, found: Array) -> Any:
    """The bits of all words in the bytes; a change from lower to upper case is a border."""
    bits = np.int64(0)
    state = np.int64(step[0, BORDER])
    was_lower = False
    for place in range(start, end):
        byte = data[place]
        upper = 65 <= byte <= 90
        if upper and was_lower:
            state = np.int64(step[state, BORDER])
            bits |= found[state]
        was_lower = 97 <= byte <= 122
        letter = (byte | 32) - 97 if upper or was_lower else BORDER
        state = np.int64(step[state, letter])
        bits |= found[state]
    bits |= found[np.int64(step[state, BORDER])]
    return bits


_DISPLAY_NONE = np.frombuffer(b"display:none", dtype=np.uint8)
_INVISIBLE = np.frombuffer(b"visibility:hidden", dtype=np.uint8)
_TRUE = np.frombuffer(b"true", dtype=np.uint8)
_ARTICLE_BODY = np.frombuffer(b"articlebody", dtype=np.uint8)


@kernel
def _next_attribute(data: Array, place: int, stop: int) -> Any:
    """The hash of the next name in a start tag, from where to where its value is, and the byte after it."""
    while place < stop and (data[place] == 32 or 9 <= data[place] <= 13 or data[place] == 47):
        place += 1
    value = np.int64(0)
    while place < stop:
        byte = np.int64(data[place])
        if byte == 61 or byte == 62 or byte == 32 or 9 <= byte <= 13 or byte == 47:
            break
        byte = byte + 32 if 65 <= byte <= 90 else byte
        value = (value * 131 + byte) & ((1 << 62) - 1)
        place += 1
    while place < stop and (data[place] == 32 or 9 <= data[place] <= 13):
        place += 1
    if place >= stop or data[place] != 61:
        return value, place, place, place + (place < stop and data[place] == 62)
    place += 1
    while place < stop and (data[place] == 32 or 9 <= data[place] <= 13):
        place += 1
    quote = data[place] if place < stop and (data[place] == 34 or data[place] == 39) else np.uint8(0)
    place += 1 if quote > 0 else 0
    first = place
    while place < stop:
        byte = data[place]
        if byte == quote or (quote == 0 and (byte == 32 or 9 <= byte <= 13 or byte == 62)):
            break
        place += 1
    return value, first, place, place + 1


@allocating_kernel
def _topics(
    data: Array, start: Array, inner: Array, hashes: Array, kinds: Array, step: Array, found: Array, bits: Array,
    looks: Array,
) -> None:  # fmt: skip
    for node in range(1, len(start)):
        place, stop = start[node] + 1, min(inner[node], start[node] + MAX_TAG)
        while place < stop and not (data[place] == 32 or 9 <= data[place] <= 13):
            place += 1
        while place < stop:
            value, first, last, place = _next_attribute(data, place, stop)
            for index in range(len(hashes)):
                if hashes[index] != value:
                    continue
                kind = kinds[index]
                if kind == 1 or kind == 5:
                    bits[node] |= _words_in(data, first, last, step, found)
                if index == 0:  # the class
                    for at in range(first, last):
                        looks[node] = looks[node] * 131 + data[at]
                elif (
                    (
                        kind == 2
                        and (_contains(data, first, last, _DISPLAY_NONE) or _contains(data, first, last, _INVISIBLE))
                    )
                    or kind == 3
                    or (kind == 4 and _contains(data, first, last, _TRUE))
                ):
                    bits[node] |= NOT_SHOWN
                elif kind == 5 and _contains(data, first, last, _ARTICLE_BODY):
                    bits[node] |= BODY_PROPERTY


TEXT_TOPICS = {  # what short texts say, in the languages of most pages; looked for in lower case, `_` a border of words
    "related": "read more_|_read also|_also read|see also|more from_|_related|recommended|you may also|you might|"
    "lesen sie auch|_mehr zum thema|_mehr zu|_lesen sie|auch interessant|_weiterlesen|weitere artikel|"
    "weitere informationen|_puedes ver|das könnte|_lire aussi|_à lire|à lire aussi|_en savoir plus|"
    "lire la suite|_leer más|_lea también|_lee también|"
    "te puede interesar|leggi anche|_leggi tutto|czytaj też|czytaj więcej|zobacz też|zobacz także|przeczytaj|"
    "leia também|_leia mais|veja também|lees ook|_lees meer|continue reading|most popular|most read|"
    "meistgelesen|latest news|"
    "trending|_top stories|verwandte|ähnliche|next article|previous article|vorheriger|nächster|_weiter zu_|_next_|"
    "_previous_",
    "copyright": "_copy_|_copyright|rights reserved|alle rechte|tous droits|derechos reservados|diritti riservati|"
    "prawa zastrzeżone|wszelkie prawa|todos os direitos|creative commons|_cc by|_gmbh|_inc_|_ltd_|materiał chroniony|"
    "lizenz|powered by|proudly",
    "share": "_share|_teilen|_tweet|facebook|twitter|whatsapp|pinterest|linkedin|instagram|telegram|_follow us|_folgen|"
    "_partager|_compartir|_condividi|udostępnij|_drucken|_print_|_e_mail_|per mail|_merken|_copy link|youtube",
    "cookie": "cookie|datenschutz|privacy|_consent|javascript|adblock|browser|_akzeptieren|_accept_|"
    "nutzungsbedingungen|terms of|_agb_|impressum|imprint|disclaimer|kontakt_|_contact",
    "subscribe": "newsletter|subscri|abonn|sign up|_sign in|_log in|_login|anmeld|registr|_abo_|_donate|_spende|"
    "support us|unterstütz|_join_|_einloggen|bezahl|_kostenlos|_app_|download_|podcast|_push_|"
    "gefällt dir|_suscr|_become a_|_membership",
    "comment": "kommentar|_comment|leave a reply|_antworte|_reply|komentar|commentaire|_comentario|commenti_|"
    "_responses_|_says_|_sagt_|diskussion|discussion|_upvote|_melden_|komentarz|reageer|e_mail_adresse|"
    "required fields|_name_|"
    "_website_|_gravatar",
    "caption": "_foto_|_fotos_|_photo|_image_|_bild_|_bilder_|_getty|_dpa_|_reuters|shutterstock|_picture|_imago|"
    "_afp_|_symbolbild|_quelle_|_source_|_credit|_grafik|_video_|_galerie|_gallery|_bildquelle|_pixabay|_unsplash|_fot_|"
    "_screenshot|_istock|_epa_|_pap_|_illustration|_abbildung|_crédit|_courtesy",
    "byline": "_by_|_von_|_par_|_por_|veröffentlicht|_posted|published|_updated|aktualisiert|_uhr_|_autor_|_author|"
    "_written by|_publicado|_publié|_geschrieben|_pubblicat|_erstellt|_stand_|_redaktion|_editor|_min read|_lesezeit|"
    "minuten|_ago_|_vor_|_january|_february|_march_|_april|_may_|_june_|_july_|_august|_september|_october|_november|"
    "_december|_januar_|_februar_|_märz|_mai_|_juni_|_juli_|_oktober|_dezember|_views_|opublikowan|dodano",
    "labels": "_tags_|_tag_|schlagw|_categor|_kategor|filed under|_themen_|_topics|_stichwort|_keywords|_label|"
    "_etiquetas|_mots cl|_tagged|_abgelegt|ressort|rubrik",
    "navigation": "_home_|startseite|_menü|_menu_|_menü_|_suche_|_search|_zurück|_back to|nach oben|_sitemap|"
    "_über uns|_about us|_übersicht|_archiv|_skip to|_zum inhalt|_navigation|_direkt zu|_service|_mehr_|_more_|"
    "_alle_|_view all|_show|_anzeigen|_schließen|_close_|_hide_|_ausblenden|_einblenden|_inicio_|_accueil|_strona",
    "advertisement": "_anzeige_|_advert|werbung|_sponsored|_promo|_reklama|_publicidad|_publicité|_ad_|affiliate|"
    "_amazon|_jetzt_|_bestell|_shop_|_kaufen|_buy_|_warenkorb|_add to|gewinnspiel|_angebot|_preis_|_price_",
}  # fmt: skip
NUM_TEXT_TOPICS = len(TEXT_TOPICS)
TEXT_TOPIC = {name: 1 << place for place, name in enumerate(TEXT_TOPICS)}


@cache
def text_automaton() -> Automaton:
    """The words of `TEXT_TOPICS`; a letter beyond a-z is as many borders as it has bytes."""
    words: dict[str, int] = {}
    for name, listed in TEXT_TOPICS.items():
        for word in listed.split("|"):
            spelled = "".join(chr(byte) if 97 <= byte <= 122 else "_" for byte in word.encode())
            words[spelled] = words.get(spelled, 0) | TEXT_TOPIC[name]
    return _automaton(words)
