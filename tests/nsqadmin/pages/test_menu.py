from __future__ import annotations

from aiohttp import web

from nsqadmin.pages.menu import PLACES, menu
from nsqadmin.web.http_server import Body, Route
from tests.nsqadmin.world import World


async def nothing(request: web.Request) -> Body:
    raise NotImplementedError


def test_the_menu_names_the_pages_there_are() -> None:
    routes = [Route("GET", "/", nothing), Route("POST", "/map", nothing), Route("GET", "/nodes", nothing)]
    assert [place.label for place in menu(routes)] == ["Overview", "Nodes"]


def test_each_place_has_a_key_of_its_own() -> None:
    assert len({place.key for place in PLACES}) == len(PLACES)


async def test_every_place_of_the_menu_is_there_and_marked_as_the_current_one(world: World) -> None:
    admin = await world.admin(await world.lookupd(await world.nsqd()), base_path="/nsq")
    home = (await admin.get("/nsq")).text
    links = [line for line in home.splitlines() if "data-go=" in line]
    assert len(links) >= 3
    for line in links:
        path = line.partition('href="')[2].partition('"')[0]
        answer = await admin.get(path)
        assert answer.status == 200, path
        [current] = [line for line in answer.text.splitlines() if 'aria-current="page"' in line]
        assert f'href="{path}"' in current
