"""``ancilla models import``: a sealed package of a model made elsewhere, without the network and without running its code."""

import argparse
from pathlib import Path
from typing import Any

from node.commands.options import command
from node.commands.output import show_json


def register(group: Any) -> None:
    """Add the command to ``ancilla models``."""
    bring = command(
        group,
        "import",
        "Make a package of a MONAI bundle, nnU-Net results, ONNX, OpenVINO IR, SavedModel, TorchScript, Triton, OVMS or WSInfer.",
        _import,
        config=False,
        listing=True,
    )
    bring.add_argument("source", metavar="SOURCE", type=Path, help="folder, .zip or file")
    bring.add_argument("--out", metavar="DIR", type=Path, required=True, help="where the package goes; must not exist")
    bring.add_argument("--id", default="", help="id of the package (default: from the name)")
    bring.add_argument("--name", default="", help="what people will call it")
    bring.add_argument(
        "--kind", choices=("volume", "images", "slide"), default="", help="of input, where the network does not show it"
    )
    bring.add_argument("--modality", default="", help="CT, MR, PT, US, MG ...")
    bring.add_argument("--orientation", metavar="RAS", default="", help="of the training volumes' axes x, y, z")
    bring.add_argument("--labels", metavar="A,B", default="", help="names of the classes, without the background")
    bring.add_argument(
        "--channels", metavar="T1,T2", default="", help="the series a network sees together, in the order of its input"
    )
    bring.add_argument("--size", metavar="N,N", default="", help="the network's input (rows,columns) or window (three sizes)")
    bring.add_argument("--output", default="", help="name of the output, where there are several")
    bring.add_argument("--mean", metavar="M,M", default="", help="subtracted from values")
    bring.add_argument("--scale", metavar="S,S", default="", help="values are divided by")
    bring.add_argument("--um-per-pixel", type=float, default=0.0, help="scale of the tiles of a slide")
    bring.add_argument("--weights", metavar="FILE", default="", help="which file of the source, where there are several")
    bring.add_argument("--configuration", default="", help="of nnU-Net, such as 3d_fullres")
    bring.add_argument("--fold", default="", help="of nnU-Net, such as 0 or all")
    register_signing(group)


def register_signing(group: Any) -> None:
    """``key`` and ``sign``."""
    key = command(group, "key", "Make a key to sign packages with, and print its public half.", _key, config=False)
    key.add_argument("file", metavar="FILE", type=Path, help="the private key goes there (PEM)")
    sign = command(group, "sign", "Sign a sealed package: adds SHA256SUMS.sig.", _sign, config=False)
    sign.add_argument("package", metavar="PACKAGE", type=Path, help="folder")
    sign.add_argument("--key", metavar="FILE", type=Path, required=True, help="private key (Ed25519, PEM)")


def _key(args: argparse.Namespace) -> int:
    from inference.signature import new_key

    print(new_key(args.file))
    return 0


def _sign(args: argparse.Namespace) -> int:
    from inference.signature import sign

    print(f"{args.package}: signed by {sign(args.package, args.key)}")
    return 0


def _import(args: argparse.Namespace) -> int:
    from inference.importing.options import Options
    from inference.importing.recognised import import_model

    options = Options(
        model_id=args.id,
        name=args.name,
        kind=args.kind,
        modality=args.modality,
        orientation=args.orientation.upper(),
        labels=[word.strip() for word in args.labels.split(",") if word.strip()],
        channels=[word.strip() for word in args.channels.split(",") if word.strip()],
        size=_numbers(args.size, int, "--size"),
        output=args.output,
        um_per_pixel=args.um_per_pixel,
        mean=_numbers(args.mean, float, "--mean"),
        scale=_numbers(args.scale, float, "--scale"),
        weights=args.weights,
        fold=args.fold,
        configuration=args.configuration,
    )
    made = import_model(args.source, args.out, options)
    if args.json:
        show_json(
            {"source": made.source, "folder": made.folder, "sha256": made.digest, "known": made.known, "unknown": made.unknown}
        )
        return 0
    print(f"{made.folder}: package from a {made.source}, sha256 {made.digest}")
    for words in made.unknown:
        print(f"  assumed: {words}")
    print("Now complete MODEL_CARD.md, report.json and segments.json there, then:")
    print(f"  python -m inference.package seal {made.folder}")
    return 0


def _numbers(words: str, kind: type, option: str) -> list[Any]:
    from domain.errors import ConfigurationError

    try:
        return [kind(word) for word in words.split(",") if word.strip()]
    except ValueError as error:
        raise ConfigurationError(f"{option}: numbers with commas between them are needed, not {words!r}") from error
