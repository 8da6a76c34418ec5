"""The ways in which the machine fails an agent.

AgentError
├── EnvoyBinaryError   no Envoy to run, or one that is too old
├── AdminError         an Envoy's admin interface did not answer
├── PortTaken          a port of this host that is to be opened is another's
├── NoMeshPort         every mesh port of the node is in use (mesh_ports.py)
├── NotAdmitted        a workload could not be brought into the mesh (host.py)
└── LaunchError        an application could not be started (capture/process.py)
"""


class AgentError(Exception):
    """Anything that an agent cannot do because the machine or a process on it fails."""


class EnvoyBinaryError(AgentError):
    """There is no Envoy to run, or it is too old; the message says which."""


class AdminError(AgentError):
    """An Envoy's admin interface did not answer, or not as an Envoy does."""


class PortTaken(AgentError):
    """A port of this host that is to be opened is another's; the message says which."""
