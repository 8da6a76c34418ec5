"""Lists the commands, and in which module each is, so that help is shown and one command run without importing all."""

from msgspec import Struct


class Entry(Struct, frozen=True):
    """One command. `module` has a `typer.Typer` called `app`, which is the command or a group of them."""

    name: str
    module: str
    summary: str
    section: str


RUN = "Run"
RESOURCES = "Resources"
OFFLINE = "Offline"
OTHER = "Other"

ENTRIES = (
    Entry("up", "tulle.cli.up", "Run a mesh here: control plane, agent and applications.", RUN),
    Entry("server", "tulle.cli.server", "Run a control plane.", RUN),
    Entry("agent", "tulle.cli.agent", "Make this host a node of a mesh.", RUN),
    Entry("run", "tulle.cli.run", "Start a program as a workload of the mesh.", RUN),
    Entry("exec", "tulle.cli.exec", "Run a command where a workload is.", RUN),
    Entry("apply", "tulle.cli.apply", "Create or change resources from files.", RESOURCES),
    Entry("delete", "tulle.cli.delete", "Delete resources by name or from files.", RESOURCES),
    Entry("get", "tulle.cli.get", "Show resources as a table, YAML, JSON or names.", RESOURCES),
    Entry("describe", "tulle.cli.describe", "Show one resource, its conditions and where it applies.", RESOURCES),
    Entry("status", "tulle.cli.status", "Show services, proxies and nodes, and what is wrong.", RESOURCES),
    Entry("check", "tulle.cli.check", "Find all problems in files.", OFFLINE),
    Entry("render", "tulle.cli.render", "Show what proxies are told, from files.", OFFLINE),
    Entry("schema", "tulle.cli.schema", "Print the JSON Schema of a kind, or the kinds.", OFFLINE),
    Entry("token", "tulle.cli.token", "Make tokens with which nodes join.", OTHER),
    Entry("node", "tulle.cli.node", "List the nodes, or take one out.", OTHER),
    Entry("completion", "tulle.cli.completion", "Print the completion script of a shell.", OTHER),
    Entry("version", "tulle.cli.version", "Print versions.", OTHER),
)
