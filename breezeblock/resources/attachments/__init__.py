"""Attachments: who has, or may get, a volume's bytes; with the older attach actions of volumes."""

from breezeblock.core.resource import Resource
from breezeblock.resources.attachments import connection
from breezeblock.resources.attachments.table import attachments

RESOURCE = Resource("attachments", attachments, (connection.CONNECT_VERB, connection.DISCONNECT_VERB))
