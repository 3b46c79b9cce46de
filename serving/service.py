"""The BentoML service: `bentoml serve serving.service:Valuation --host 127.0.0.1 --port 3000`."""

from __future__ import annotations

import os
from typing import Any

import attrs
import bentoml
from bentoml import Tag
from bentoml.models import BentoModel
from starlette.types import ASGIApp

from serving import logs
from serving.api import create_app
from serving.champion import REPAIR, NoChampion, Pointer, key_path, pointer_path, read_key, read_pointer
from serving.edge import Edge
from serving.holder import Holder
from serving.layouts import Layouts, layouts_path
from serving.protocol import bound_bentoml


class EdgedService(bentoml.Service[Any]):
    """BentoML's service with our edge in front: what we answer never passes through BentoML's middleware."""

    def to_asgi(self, is_main: bool = True) -> ASGIApp:
        bound_bentoml()
        logs.start()
        return Edge(create_app(holder), super().to_asgi(is_main))


def _tag(name: str) -> Tag:
    return Tag.from_taglike(name)


@attrs.frozen
class PackedChampion(BentoModel):
    """The champion as `bentoml build` packs it: its digests and the public key written down, and never looked for in a
    cloud."""

    tag: Tag = attrs.field(converter=_tag)
    digest: str = ""
    key: str = ""
    memory: str | None = None
    missing: str = ""

    def to_info(self, alias: str | None = None) -> Any:
        if self.stored is None:
            raise bentoml.exceptions.BentoMLException(
                f"there is no champion to build a bento of: "
                f"{self.missing or f'{self.tag} is not in the BentoML store that BENTOML_HOME names; {REPAIR}'}"
            )
        metadata = {"digest": self.digest, "key": self.key} | ({} if self.memory is None else {"memory": self.memory})
        return attrs.evolve(super().to_info(alias), metadata=metadata)

    def resolve(self, base_path: Any = None) -> Any:
        """Only what is in the store already; a server without it starts, and says what is missing."""
        return None if self.stored is None else super().resolve(base_path)


def _packed() -> PackedChampion:
    try:
        pointer, key = read_pointer(pointer_path()), read_key(key_path())
    except NoChampion as error:
        return PackedChampion("valuation:none", missing=str(error))
    return PackedChampion(pointer.tag, pointer.digest, key.decode(), pointer.memory)


@bentoml.service(service_class=EdgedService, workers=1)
class Valuation:
    """Values homes with the promoted model."""

    packed = _packed()

    def __init__(self) -> None:
        holder.start()

    @bentoml.on_shutdown
    def stop(self) -> None:
        holder.stop()


def _promoted() -> tuple[Pointer, bytes]:
    """The champion that was packed, in a bento; the one that the pointer names, beside a checkout; and the key.

    A bento brings the key of whoever built it; ASSAY_KEY says whose models may serve here.
    """
    service: Any = Valuation
    if service.bento is None:
        return read_pointer(pointer_path()), read_key(key_path())
    info = service.bento.info.all_models[0]
    said = info.metadata
    key = read_key(key_path()) if "ASSAY_KEY" in os.environ else str(said["key"]).encode()
    return Pointer(str(info.tag), str(said["digest"]), said.get("memory")), key


holder = Holder(_promoted, Layouts(layouts_path()))
