"""Words that checks know: numbers, and what tells German, English and their neighbours apart.

Tables of the languages themselves. What a check does with them stands in numbers, faithfulness and form.
"""

from collections.abc import Mapping

_listed = str.split

UNITS = _listed(
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen "
    "sixteen seventeen eighteen nineteen"
)
TENS = _listed("twenty thirty forty fifty sixty seventy eighty ninety")
ORDINALS = _listed(
    "first second third fourth fifth sixth seventh eighth ninth tenth eleventh twelfth thirteenth "
    "fourteenth fifteenth sixteenth seventeenth eighteenth nineteenth"
)
GERMAN_UNITS = _listed(
    "null ein zwei drei vier fünf sechs sieben acht neun zehn elf zwölf dreizehn vierzehn fünfzehn "
    "sechzehn siebzehn achtzehn neunzehn"
)
GERMAN_TENS = _listed("zwanzig dreißig vierzig fünfzig sechzig siebzig achtzig neunzig")
# What allows a number without stating it: 2 for "both", 30 for "half an hour", 5 for "May".
ALLOWED_NUMBERS: dict[str, tuple[float, ...]] = {
    **dict.fromkeys(_listed("both pair pairs couple twice double doubled twin twins beide beiden beider "
                    "beides paar doppelt doppelte doppelten verdoppelt zwillinge nochmal"), (2.0,)),
    **dict.fromkeys(_listed("half halves halved halb halbe halben halber halbes hälfte halbiert"),
                    (2.0, 0.5, 50.0, 30.0)),
    **dict.fromkeys(_listed("quarter quarters viertel viertelstunde"), (4.0, 0.25, 25.0, 15.0, 45.0)),
    **dict.fromkeys(_listed("triple tripled dreifach verdreifacht thrice"), (3.0,)),
    **dict.fromkeys(_listed("decade decades jahrzehnt jahrzehnte jahrzehnten"), (10.0,)),
    **dict.fromkeys(_listed("century centuries jahrhundert jahrhunderte jahrhunderten jahrhunderts "
                    "hundreds hunderte hunderten"), (100.0,)),
    **dict.fromkeys(_listed("millennium thousands tausende tausenden jahrtausend"), (1000.0,)),
    **dict.fromkeys(_listed("millions millionen"), (1e6,)),
    **dict.fromkeys(_listed("billions milliarde milliarden"), (1e9,)),
    **dict.fromkeys(_listed("noon midday mittag mittags midnight mitternacht"), (0.0, 12.0, 24.0)),
    **{ten[:-1] + "ies": (10.0 * n, 1900.0 + 10 * n) for n, ten in enumerate(TENS, start=2)},
    "fortnight": (2.0, 14.0), "fortnights": (2.0, 14.0), "anderthalb": (1.5,), "eineinhalb": (1.5,),
}  # fmt: skip
_MONTHS = (
    "january januar jänner", "february februar", "march märz", "april", "may mai", "june juni", "july juli",
    "august", "september", "october oktober", "november", "december dezember",
)  # fmt: skip
ALLOWED_NUMBERS |= {
    name: (float(number),) for number, names in enumerate(_MONTHS, 1) for name in names.split()
}

# Frequent words that stand for nothing by themselves. Those of two languages tell neither, see OWN_WORDS.
FUNCTION_WORDS: Mapping[str, frozenset[str]] = {
    "en": frozenset(_listed(
        "the of and to in is it that was for on with as his her he she they be at by this had not but from "
        "have were which you we their would are been has will there what if can an who its do my when than "
        "so no into your could them then some only other also may after these i a or our those how where "
        "did because while until about any very just why each more most such between during before should "
        "must us him me am does out up over under again same both own off"
    )),
    "de": frozenset(_listed(
        "der die das und ist nicht ein eine einen einem einer eines zu den dem des mit von auf für im sich "
        "auch als an es er sie wir ihr ich du aus bei nach wie um am war hat haben sind wird werden wurde "
        "wurden noch nur oder aber wenn dass kann können zum zur vor über durch bis so was mein meine meiner "
        "sein seine seiner ihre ihren ihrem ihrer kein keine keinen diese dieser dieses diesem mehr sehr "
        "schon hier dort dann weil damit mich mir dich uns euch ihn ihm ins vom beim man wo wer warum jetzt "
        "immer wieder gegen ohne unter zwischen während seit soll muss müssen bitte in"
    )),
    "fr": frozenset(_listed(
        "le la les de des du un une et est dans que qui pour pas sur avec au aux ce cette ces il elle nous "
        "vous ils elles ne se sont était être par plus mais ou où son sa ses leur leurs mon ma mes je tu on "
        "en à très sans avant après derrière chez n'est d'une qu'il c'est"
    )),
    "es": frozenset(_listed(
        "el la los las de del un una y es en que por para con no se su sus lo al como más pero o este esta "
        "esto ha he han hay fue era son muy sin sobre desde hasta cuando donde mi me te le les nos yo él ella"
    )),
    "it": frozenset(_listed(
        "il lo la i gli le di del della dei delle un una uno e è in che per con non si su da al alla ai come "
        "più ma o questo questa ha ho hanno era sono molto senza dopo quando dove mi ci ne nel nella sul"
    )),
    "nl": frozenset(_listed(
        "de het een en van is in dat op te zijn met voor niet aan er om ook als bij door maar naar uit hij "
        "zij ze wij ik je jij mijn haar hun was werd heeft had hebben wordt worden dit deze die over nog "
        "geen kan moet zou waar wat"
    )),
    "pt": frozenset(_listed(
        "o a os as de do da dos das um uma e é em no na nos nas que por para com não se seu sua ao à mais "
        "mas ou este esta isto foi era são muito sem sobre até quando onde eu ele ela você"
    )),
}  # fmt: skip
# By language, those that no other language of the table has.
OWN_WORDS: Mapping[str, frozenset[str]] = {
    language: words.difference(*(other for code, other in FUNCTION_WORDS.items() if code != language))
    for language, words in FUNCTION_WORDS.items()
}
# English words with a capital letter that a translation into another language does not keep.
TRANSLATED_NAMES = frozenset(_listed(
    "dad mum mom daddy mummy grandma grandpa uncle aunt "
    "monday tuesday wednesday thursday friday saturday sunday january february march april may june july "
    "august september october november december mr mrs ms miss dr prof professor sir madam lord lady king "
    "queen prince princess president minister mayor captain doctor director chancellor councillor dear god "
    "christmas easter internet english german french spanish italian european american british dutch danish "
    "swedish norwegian polish russian turkish chinese japanese indian african asian latin germans americans "
    "europe germany france spain italy austria switzerland turkey greece poland sweden norway denmark "
    "netherlands belgium russia china america britain england scotland ireland croatia hungary romania "
    "munich vienna cologne nuremberg hanover brunswick zurich geneva lucerne basle venice rome milan naples "
    "florence prague warsaw moscow copenhagen brussels athens lisbon alps rhine danube moselle baltic "
    "bavaria saxony prussia mediterranean atlantic pacific north south east west northern southern eastern "
    "western street road lane avenue square park bridge tower castle palace church cathedral city town "
    "university college school institute museum library hospital hotel station airport harbour port council "
    "parliament ministry department office committee court bank company union party prize award cup festival "
    "league fund house hall club society association sea lake river island mountain mount valley forest "
    "world war street's edit file view menu options settings tools help save ctrl alt shift enter new old "
    "great upper lower central national international federal royal first second third"
))  # fmt: skip
