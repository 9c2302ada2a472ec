"""Weights of the hub, by name and by revision, from a hub on loopback; and every answer that is not as it should be."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import save
from torch import Tensor

import lamina
from fake_hub import Answer, FakeHub, error
from lamina import create_model
from lamina.errors import DataError, LaminaError, UsageError
from lamina.weights.hub import fetch
from lamina.weights.published import built_for, published, spelled, stated_image
from lamina.weights.reading import read_state_dict
from weights_of_timm import README, repository

NAME = "me/letters"


def state(seed: int = 5, **options: object) -> dict[str, Tensor]:
    torch.manual_seed(seed)
    return dict(create_model("lenet5", image_size=16, **options).state_dict())


def files(seed: int = 5, **options: object) -> dict[str, bytes]:
    return {"README.md": README, "model.safetensors": save(state(seed, **options))}


def same(model: torch.nn.Module, tensors: dict[str, Tensor]) -> bool:
    return all(torch.equal(value, tensors[name]) for name, value in model.state_dict().items())


def asked(hub: FakeHub) -> list[str]:
    found, hub.requests[:] = list(hub.requests), []
    return found


def test_a_model_has_the_weights_of_a_revision(hub: FakeHub) -> None:
    first = hub.put(NAME, files(1))
    second = hub.put(NAME, files(2))
    hub.put(NAME, files(3), ref="v1")
    for revision, seed in (("", 2), ("@main", 2), (f"@{first}", 1), (f"@{second}", 2), ("@v1", 3)):
        assert same(create_model("lenet5", image_size=16, weights=f"hf:{NAME}{revision}"), state(seed)), revision
    model = create_model("lenet5", image_size=16)
    loaded = lamina.load_weights(model, f"hf:{NAME}@v1")
    assert same(model, state(3))
    assert loaded.source == "lamina"
    found = fetch(f"hf:{NAME}@main")
    assert (found.revision, found.licence) == (second, "apache-2.0")
    assert found.spelling == f"hf:{NAME}@{second}"
    assert "licence apache-2.0" in str(found)


def test_a_commit_in_the_cache_needs_no_hub(hub: FakeHub, monkeypatch: pytest.MonkeyPatch) -> None:
    commit = hub.put(NAME, files())
    fetch(f"hf:{NAME}@main")
    assert any("model.safetensors" in line for line in asked(hub))
    fetch(f"hf:{NAME}@{commit}")
    assert asked(hub) == []
    fetch(f"hf:{NAME}@main")  # a branch may have moved
    assert asked(hub) == [f"GET /api/models/{NAME}/revision/main"]
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    found = fetch(f"hf:{NAME}@main")
    assert found.revision == commit
    assert "offline mode is set" in found.notes[0]
    assert asked(hub) == []
    monkeypatch.delenv("HF_HUB_OFFLINE")
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")  # nobody listens
    found = fetch(f"hf:{NAME}")
    assert found.revision == commit
    assert "the hub cannot be reached" in found.notes[0]
    assert same(create_model("lenet5", image_size=16, weights=f"hf:{NAME}@{commit}"), state())


@pytest.mark.parametrize("offline", [True, False])
def test_without_a_network_one_line_says_what_to_download_and_where_to(
    hub: FakeHub, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, offline: bool
) -> None:
    commit = hub.put(NAME, files())
    if offline:
        monkeypatch.setenv("HF_HUB_OFFLINE", "1")
        address = hub.address
    else:
        address = "http://127.0.0.1:9"
        monkeypatch.setenv("HF_ENDPOINT", address)
    for revision in ("main", commit):
        with pytest.raises(DataError) as caught:
            create_model("lenet5", weights=f"hf:{NAME}@{revision}")
        text = str(caught.value)
        assert f"{address}/{NAME}/resolve/{revision}/model.safetensors" in text
        assert str(tmp_path / "cache") in text
        assert "models--me--letters" in text
        assert "--weights FILE" in text
        assert ("offline mode" in text) is offline
        assert "\n" not in text
    assert asked(hub) == []


def test_a_revision_that_moved_is_said_and_the_commit_stays(hub: FakeHub) -> None:
    first = hub.put(NAME, files(1))
    assert fetch(f"hf:{NAME}@main").notes == ()
    second = hub.put(NAME, files(2))
    assert fetch(f"hf:{NAME}@main").notes == (f"'main' of {NAME} has moved from {first} to {second}",)
    assert fetch(f"hf:{NAME}@main").notes == ()
    del hub.repositories[NAME].commits[first]  # rewritten: what the cache has is still that commit
    assert same(create_model("lenet5", image_size=16, weights=f"hf:{NAME}@{first}"), state(1))


def half(method: str, good: Answer) -> Answer:
    status, headers, body = good
    if method == "HEAD":
        return good
    return status, {**headers, "Content-Length": str(len(body) // 2)}, body[: len(body) // 2]


def other(method: str, good: Answer) -> Answer:
    """The same length, one bit changed: only the sum shows it."""
    status, headers, body = good
    return status, headers, body[:-1] + bytes([body[-1] ^ 1])


def refused(status: int, code: str = "") -> Callable[[str, Answer], Answer]:
    return lambda method, good: error(status, code)


@pytest.mark.parametrize(
    ("path", "fault", "kind", "says"),
    [
        ("/model.safetensors", half, DataError, "could not be downloaded: Consistency check failed"),
        ("/model.safetensors", other, DataError, "is not what the hub lists: its sha256 is"),
        ("/README.md", other, DataError, "README.md of hf:me/letters@main is not what the hub lists: its sum is"),
        ("/model.safetensors", refused(404, "EntryNotFound"), DataError, "but does not have it"),
        ("/model.safetensors", refused(401), UsageError, "a token with access to it is needed"),
        ("/model.safetensors", refused(403), UsageError, "a token with access to it is needed"),
        ("/revision/main", refused(401), UsageError, "the hub answers 401 for 'me/letters'"),
        ("/revision/main", refused(401, "GatedRepo"), UsageError, "is gated"),
        ("/revision/main", refused(403, "GatedRepo"), UsageError, "is gated"),
        ("/revision/main", refused(404, "RepoNotFound"), UsageError, "the hub has no repository 'me/letters'"),
        ("/revision/main", refused(404), DataError, "the hub cannot be reached"),
        ("/revision/main", refused(500), DataError, "the hub cannot be reached"),
        ("/revision/main", lambda method, good: (200, {}, b"<html>"), DataError, "the hub cannot be reached"),
    ],
)
def test_bad_answers_are_one_line_and_leave_nothing(
    hub: FakeHub, path: str, fault: Callable[[str, Answer], Answer], kind: type[LaminaError], says: str
) -> None:
    hub.put(NAME, files())
    hub.faults[path] = fault
    with pytest.raises(kind) as caught:
        create_model("lenet5", image_size=16, weights=f"hf:{NAME}@main")
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)
    hub.faults.clear()
    assert same(create_model("lenet5", image_size=16, weights=f"hf:{NAME}@main"), state()), "the next try is clean"


def test_a_spoilt_cache_is_noticed(hub: FakeHub, tmp_path: Path) -> None:
    commit = hub.put(NAME, files())
    path = fetch(f"hf:{NAME}@main").path
    path.resolve().write_bytes(save(state(6)))
    with pytest.raises(DataError, match="taken out of the cache"):
        fetch(f"hf:{NAME}@{commit}")
    assert same(create_model("lenet5", image_size=16, weights=f"hf:{NAME}@{commit}"), state())


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ({"pytorch_model.bin": b"x"}, "holds no safetensors, only pytorch_model.bin: a pickle may hold code"),
        ({"weights.pth": b"x", "README.md": b"x"}, "only weights.pth: a pickle may hold code"),
        ({"README.md": b"x"}, "holds no weights: it has README.md"),
        ({"a.safetensors": b"x", "b.safetensors": b"y"}, "holds several files of weights: name one"),
    ],
)
def test_repositories_without_one_file_of_safetensors(hub: FakeHub, content: dict[str, bytes], says: str) -> None:
    hub.put(NAME, content)
    with pytest.raises(UsageError, match=says.replace("(", r"\(")):
        create_model("lenet5", weights=f"hf:{NAME}@main")
    assert not any("resolve" in line for line in asked(hub)), "nothing was downloaded"


@pytest.mark.parametrize(
    ("weights", "says"),
    [
        ("hf:me/letters@nowhere", "has no revision 'nowhere'"),
        ("hf:me/nobody@main", "the hub answers 401 for 'me/nobody': it does not exist, is private"),
        ("hf:me/letters/no/where@main", "has no file or folder 'no/where'"),
        ("hf:me/letters/README.md@main", "is no safetensors file"),
        ("hf:../../etc@main", "is not a place on the hub: write hf:<repository>@<revision>"),
        ("hf:me/letters/../x@main", "is not a place on the hub"),
        ("hf:", "is not a place on the hub"),
        ("hf:me/letters@", "is not a place on the hub"),
    ],
)
def test_places_that_do_not_exist(hub: FakeHub, weights: str, says: str) -> None:
    hub.put(NAME, files())
    with pytest.raises(UsageError) as caught:
        create_model("lenet5", weights=weights)
    assert says in str(caught.value)


def test_a_folder_and_a_file_of_a_repository(hub: FakeHub) -> None:
    content = {f"{folder}/model.safetensors": save(state(seed)) for folder, seed in (("first", 1), ("deep/second", 2))}
    hub.put(NAME, {**content, "other.safetensors": save(state(3)), "first/README.md": README.replace(b"apache", b"x")})
    for inside, seed in (("/first", 1), ("/deep/second", 2), ("/other.safetensors", 3), ("", 3)):
        assert same(create_model("lenet5", image_size=16, weights=f"hf:{NAME}{inside}@main"), state(seed)), inside
    assert fetch(f"hf:{NAME}/first@main").licence == "x-2.0"


def test_shards_are_fetched_with_their_index(hub: FakeHub) -> None:
    tensors = state()
    names = sorted(tensors)
    parts = {"model-00001-of-00002.safetensors": names[:4], "model-00002-of-00002.safetensors": names[4:]}
    index = {"weight_map": {name: part for part, held in parts.items() for name in held}}
    content = {part: save({name: tensors[name] for name in held}) for part, held in parts.items()}
    content["model.safetensors.index.json"] = json.dumps(index).encode()
    commit = hub.put(NAME, content)
    assert same(create_model("lenet5", image_size=16, weights=f"hf:{NAME}@main"), tensors)
    found = fetch(f"hf:{NAME}@{commit}").path.parent / "model-00002-of-00002.safetensors"
    found.unlink()
    assert same(create_model("lenet5", image_size=16, weights=f"hf:{NAME}@{commit}"), tensors), "fetched again"
    index["weight_map"][names[0]] = "../../../secret.safetensors"
    hub.put(NAME, {**content, "model.safetensors.index.json": json.dumps(index).encode()})
    with pytest.raises(DataError, match="names files that are no safetensors beside it"):
        create_model("lenet5", weights=f"hf:{NAME}@main")


def test_another_class_count_with_and_without_reset(hub: FakeHub) -> None:
    hub.put(NAME, files(num_classes=26))
    with pytest.raises(UsageError, match=r"has 26 classes, the model 10: reset_head=True"):
        create_model("lenet5", image_size=16, weights=f"hf:{NAME}@main")
    model = create_model("lenet5", image_size=16, weights=f"hf:{NAME}@main", reset_head=True)
    tensors = state(num_classes=26)
    assert model.head.weight.shape[0] == 10
    assert all(
        torch.equal(value, tensors[name]) for name, value in model.state_dict().items() if not name.startswith("head")
    )
    with pytest.raises(UsageError, match="reset_head is of a file of weights"):
        create_model("lenet5", reset_head=True)


# by name


def test_weights_by_name_come_with_the_options_that_they_need(hub: FakeHub) -> None:
    commit = hub.put("timm/mobilenetv3_small_100.lamb_in1k", repository("mobilenet-v3-small", eps=1e-5))
    model = create_model("mobilenet-v3-small", weights="imagenet")
    assert (model.config.eps, model.config.num_classes, model.config.in_channels) == (1e-5, 1000, 3)
    torch.manual_seed(3)
    assert same(model, dict(create_model("mobilenet-v3-small", eps=1e-5).state_dict()))
    same_place = f"hf:timm/mobilenetv3_small_100.lamb_in1k@{commit}"
    assert built_for("mobilenet-v3-small", "imagenet")[0] == same_place
    assert create_model("mobilenet-v3-small", weights=same_place).config.eps == 1e-5
    stated = stated_image(fetch(same_place).path.parent)
    assert stated == {"moments": ((0.4, 0.5, 0.6), (0.2, 0.25, 0.3)), "channels": 3, "classes": 1000}
    with pytest.raises(UsageError, match="has 1000 classes, the model 5"):
        create_model("mobilenet-v3-small", weights="imagenet", num_classes=5)
    small = create_model("mobilenet-v3-small", weights="imagenet", num_classes=5, reset_head=True)
    assert small.config.num_classes == 5


def test_cards_list_what_is_published() -> None:
    listed = [(name, one) for name in lamina.list_models() for one in lamina.card(name).published]
    assert len(listed) > 40
    for name, one in listed:
        assert one.repository.count("/") == 1, name
        assert one.licence, name
        model = lamina.create_model(name, **one.options) if name == "resnet18" else None
        assert model is None or model.config.num_classes == one.classes
        assert published(name, f"hf:{one.repository}@main") == one
        assert spelled(name, one.name) == f"hf:{one.repository}@main"
        from lamina.registry import configure, variant

        configure(variant(name), one.options)  # the options exist
    assert spelled("resnet18", "imagenet@abc") == "hf:timm/resnet18.a1_in1k@abc"
    assert spelled("resnet18", "imagenet.pth") == "imagenet.pth"
    assert spelled("resnet18", "./imagenet") == "./imagenet"
    with pytest.raises(UsageError, match=r"no weights called 'imagenet' are listed for lenet5 \(none are\)"):
        create_model("lenet5", weights="imagenet")
    with pytest.raises(UsageError, match=r"no weights called 'webtext' are listed for resnet18 \(it has imagenet"):
        create_model("resnet18", weights="webtext")
    with pytest.raises(UsageError, match=r"create_model\('resnet18', weights='imagenet'\) has published ones"):
        create_model("resnet18", pretrained=True)


def test_a_cache_without_links_is_checked_too(hub: FakeHub) -> None:
    commit = hub.put(NAME, files())
    found = fetch(f"hf:{NAME}@main").path
    for path in (found, found.with_name("README.md")):
        content = path.resolve()
        path.unlink()
        shutil.copy(content, path)
    assert read_state_dict(f"hf:{NAME}@{commit}").tensors.keys() == state().keys()
    found.write_bytes(save(state(9)))
    with pytest.raises(DataError, match="is not what the hub lists"):
        fetch(f"hf:{NAME}@{commit}")
