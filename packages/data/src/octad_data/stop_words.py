"""Stop words that tell running text: at least two different ones must be there (Gopher's rule)."""

from octad_data.errors import DataError

# English: the eight of Rae et al. 2021. The others: the commonest function words of each language.
STOP_WORDS = {
    "en": "the be to of and that have with",
    "de": "der die das und ist in den von zu mit sich nicht",
    "fr": "le la les de des et à un une est que pour dans",
    "es": "el la los de que y en un una es por con para",
    "it": "il la che di e è un una per in con non sono",
    "pt": "o a os de que e em um uma é por com para não",
    "nl": "de het een van en in is dat op te zijn met voor",
    "pl": "i w na z się nie do że jest to jak o",
    "ru": "и в не на что я с он как это по но из",
    "uk": "і в не на що з до як та це за від",
    "cs": "a v se na je že s z do o to jako",
    "sv": "och i att det som en på är av för med",
    "da": "og i at det en er på til af for med",
    "no": "og i det at en er på til av for med",
    "fi": "ja on ei se että oli hän ovat mutta kun myös",
    "hu": "a az és hogy nem is egy ez van meg",
    "ro": "și de în la a un o nu că cu este pe",
    "tr": "ve bir bu da de için ile çok olarak daha",
    "id": "dan yang di ini itu dengan untuk dari pada tidak",
    "vi": "và của là có cho không được trong một các",
    "ar": "في من على أن إلى عن هذا التي مع لا",
    "fa": "و در به از که این را با است برای",
    "he": "של את על לא הוא זה עם כל גם היא",
    "hi": "के में है की और से को का यह कि",
    "el": "και το να του η της με για από που",
    "bg": "и на да се в за не от с е",
}


def stop_words(language: str) -> tuple[str, ...]:
    """The stop words of a language; none where it has no list, and then no rule may ask for them.

    Raises:
        DataError: language is no short name in small letters.
    """
    if not language.isalpha() or language != language.lower():
        raise DataError(f"language={language!r} is not a name like 'en' or 'und'")
    return tuple(STOP_WORDS.get(language, "").split())
