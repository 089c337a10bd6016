"""Package layout that pyproject.toml cannot say: adapters/ and models/ lie at the top of the checkout, beside porting/, and are
installed as porting.adapters and porting.models, because another distribution owns the import name `adapters`."""

from setuptools import find_packages, setup

ADAPTERS = ["porting.adapters", *(f"porting.adapters.{name}" for name in find_packages("adapters"))]

setup(
    packages=[*find_packages(include=["porting", "porting.*"]), *ADAPTERS, "porting.models"],
    package_dir={"porting": "porting", "porting.adapters": "adapters", "porting.models": "models"},
    package_data={
        "porting": ["py.typed"],
        "porting.report": ["html/*"],
        "porting.codemod": ["*.toml", "vendored/*"],
        "porting.adapters": ["*/*.txt", "*/*.toml", "*/*.md", "*/*.json", "profiles/*/*"],
        "porting.models": ["**/*.toml", "measured.jsonl", "**/*.py"],
    },
)
