"""What is masked, and what has to stay."""

import json
import logging
import sys
import traceback

import pytest

from ablate.secrets import MASK, Masker, masked_output

ENVIRONMENT = {
    "HF_TOKEN": "hunter2",
    "OPENAI_API_KEY": 'q"uo\\te-7',
    "DB_PASSWORD": "correct horse",
    "TOKENIZERS_PARALLELISM": "false",
    "KEYBOARD": "us",
    "SSH_KEY": "/srv/me/.ssh/id_rsa",
    "MLFLOW_TRACKING_URI": "https://me:p4ss@host:5000/a",
    "HOME": "/srv/me",
}
MASKER = Masker(ENVIRONMENT)


@pytest.mark.parametrize("secret", ["hunter2", 'q"uo\\te-7', "correct horse", "p4ss:word"])
def test_values_of_secret_variables_go_in_every_spelling(secret: str) -> None:
    masker = Masker({**ENVIRONMENT, "MY_SECRET": secret})
    for spelling in (secret, json.dumps(secret), repr(secret)):
        assert masker.text(f"a {spelling} b") in (f"a {MASK} b", f'a "{MASK}" b', f"a '{MASK}' b")


TEXTS = {
    "https://me:pa55@host/x?a=1": f"https://{MASK}@host/x?a=1",
    "postgresql://u:p@h/db": f"postgresql://{MASK}@h/db",
    "GET /x?api_key=abc&n=1": f"GET /x?api_key={MASK}&n=1",
    "Authorization: Bearer abcdefgh12345678": f"Authorization: Bearer {MASK}",
    '{"password": "swordfish"}': f'{{"password": "{MASK}"}}',
    "api_key=abcdef": f"api_key={MASK}",
    "got hf_abcdefghijklmnopqrstuv": f"got {MASK}",
    "sk-abcdefghij1234567890": MASK,
}


@pytest.mark.parametrize("text", TEXTS)
def test_passwords_and_tokens_of_known_forms_go(text: str) -> None:
    assert Masker({}).text(text) == TEXTS[text]


PLAIN = [
    "false, us, /srv/me/.ssh/id_rsa and /srv/me stay",
    "https://host:5000/a@b and sqlite:////a/b@c.db",
    "max_new_tokens=64 token: 12 key_variable: OPENAI_API_KEY",
    "4f0e8d1c2b3a4f0e8d1c2b3a4f0e8d1c2b3a4f0e",
    '{"secret": null, "password": ""}',
    "basic understanding of things that matter",
]


@pytest.mark.parametrize("text", PLAIN)
def test_what_only_looks_like_a_secret_stays(text: str) -> None:
    assert MASKER.text(text) == text


def test_masking_twice_changes_nothing_more() -> None:
    for text in [*TEXTS, "hunter2", "password=hunter2"]:
        once = MASKER.text(text)
        assert MASKER.text(once) == once


def test_a_tree_keeps_its_shape_its_keys_and_its_numbers() -> None:
    tree = {"url": "http://a:b@c", "api_key": "x", "of": [1, None, "hunter2", 0.5], "token": "t"}
    assert MASKER.tree(tree) == {
        "url": f"http://{MASK}@c",
        "api_key": MASK,
        "of": [1, None, MASK, 0.5],
        "token": "t",
    }


def test_what_python_writes_within_the_block_is_masked(monkeypatch, capsys):
    monkeypatch.setenv("HF_TOKEN", "hunter2")
    handler_of = logging.StreamHandler
    with masked_output():
        print("a hunter2 b")
        sys.stdout.writelines(["x hunter2\n"])
        logger = logging.Logger("toy")
        logger.addHandler(handler_of(sys.stderr))
        logger.error("with hunter2")
        try:
            raise ValueError("hunter2 is wrong")
        except ValueError:
            traceback.print_exc()
    print("hunter2")
    out, error = capsys.readouterr()
    assert out == f"a {MASK} b\nx {MASK}\nhunter2\n"
    assert f"with {MASK}" in error and f"ValueError: {MASK} is wrong" in error
    assert "hunter2" not in error.replace('raise ValueError("hunter2 is wrong")', "")
