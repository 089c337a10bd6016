"""Fine-tunes a small BERT that tells a kind review from an unkind one; saves config, weights and tokenizer as Hugging Face does.

python finetune.py [FOLDER]    a few seconds on one core; nothing is downloaded
"""

import random
import sys

import torch
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace
from tokenizers.processors import TemplateProcessing
from transformers import BertConfig, BertForSequenceClassification, PreTrainedTokenizerFast

LABELS = ("unkind", "kind")
SUBJECTS = ("film", "book", "song", "meal", "hotel", "phone", "course", "game", "coffee", "train")
PLAIN = ("the", "a", "this", "was", "is", "really", "quite", "not", "very", "and", "but", "i", "found", "it", "thought")
JUDGEMENTS = (("dull", "poor", "slow", "broken", "sad", "cold"), ("fine", "good", "lovely", "bright", "warm", "clever"))
SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]")
WORDS = (*SPECIAL, *PLAIN, *SUBJECTS, *JUDGEMENTS[0], *JUDGEMENTS[1])


def review(draw: random.Random) -> tuple[str, int]:
    """A sentence and its label; `not` turns it round."""
    label, turned = draw.randrange(2), draw.random() < 0.3
    word = draw.choice(JUDGEMENTS[label ^ turned])
    judged = f"{'not ' if turned else ''}{draw.choice(('', 'really ', 'quite ', 'very '))}{word}"
    opening = draw.choice(("the {} was", "this {} is", "i found the {}", "i thought it was a {} and it was"))
    return f"{opening.format(draw.choice(SUBJECTS))} {judged}", label


def tokenizer() -> PreTrainedTokenizerFast:
    """A token a word."""
    words = Tokenizer(WordLevel({word: number for number, word in enumerate(WORDS)}, unk_token="[UNK]"))
    words.pre_tokenizer = Whitespace()
    ends = [(name, WORDS.index(name)) for name in ("[CLS]", "[SEP]")]
    words.post_processor = TemplateProcessing(single="[CLS] $A [SEP]", special_tokens=ends)
    names = {"pad_token": "[PAD]", "unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]"}
    return PreTrainedTokenizerFast(tokenizer_object=words, model_max_length=32, **names)


def model() -> BertForSequenceClassification:
    config = BertConfig(
        vocab_size=len(WORDS),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=64,
        max_position_embeddings=32,
        id2label=dict(enumerate(LABELS)),
        label2id={label: number for number, label in enumerate(LABELS)},
    )
    return BertForSequenceClassification(config)


def main(folder: str = "checkpoint", steps: int = 150) -> float:
    """Train, save, and return the share of new reviews that are told rightly."""
    torch.manual_seed(0)
    draw, words, net = random.Random(0), tokenizer(), model()
    optimizer = torch.optim.AdamW(net.parameters(), lr=2e-3)
    for _ in range(steps):
        texts, labels = zip(*(review(draw) for _ in range(32)), strict=True)
        batch = words(list(texts), padding=True, return_tensors="pt")
        loss = net(**batch, labels=torch.tensor(labels)).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    net.eval()
    texts, labels = zip(*(review(draw) for _ in range(200)), strict=True)
    with torch.no_grad():
        told = net(**words(list(texts), padding=True, return_tensors="pt")).logits.argmax(-1)
    net.save_pretrained(folder)
    words.save_pretrained(folder)
    return (told == torch.tensor(labels)).float().mean().item()


if __name__ == "__main__":
    print(f"{main(*sys.argv[1:2]):.1%} of 200 new reviews are told rightly")
