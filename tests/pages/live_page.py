"""The Live page without a browser: how a visitor comes, asks and reads."""

from pathlib import Path

from streamlit.testing.v1 import AppTest

from hybrid.schema import Generation

APP = Path(__file__).parents[2] / "app.py"
TRANSLATE, SUMMARIZE = "translate-en-de", "summarize"


def arrive(**address: str | list[str]) -> AppTest:
    """A visitor who opens the page, by a link with these choices."""
    page = AppTest.from_file(str(APP), default_timeout=60)
    page.switch_page("pages/live.py")
    for name, value in address.items():
        page.query_params[name] = value
    page.run()
    if "limit" not in address:
        page.number_input(key="limit").set_value(6)
    return page


def ask(page: AppTest, text: str, task: str = TRANSLATE) -> AppTest:
    page.text_area(key=f"prompt-{task}").set_value(text)
    return press(page, "Run")


def press(page: AppTest, label: str) -> AppTest:
    (button,) = [b for b in page.button if b.label == label]
    return button.click().run()


def answers(page: AppTest, task: str = TRANSLATE) -> dict[str, Generation]:
    return page.session_state[f"answered-{task}"].answers


def texts(page: AppTest) -> list[str]:
    """The answers as shown in the cards; st.text trims their ends."""
    return [text.value for column in page.columns for text in column.text]


def notices(page: AppTest) -> list[str]:
    """Sentences in boxes, and whatever else is plain text outside the cards."""
    inside = texts(page)
    return [text.value for text in page.text if text.value not in inside]


def texts_of(answers: dict[str, Generation]) -> list[str]:
    return [answer.text.strip() for answer in answers.values()]


def line(page: AppTest) -> str:
    """The one line above the cards."""
    (header,) = page.header
    return header.value.replace("\\", "")
