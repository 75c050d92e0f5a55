"""The schema of chat templates and of AWS accounts: what deployments that only complete texts need."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from router.config.fields import FilledSecret, FilledText, Name, OrNone, Section, Text


class RoleSettings(Section):
    """What stands around the messages of one role."""

    pre_message: Text = ""
    """Before each."""
    post_message: Text = ""
    """After each."""


class ChatTemplateSettings(Section):
    """A chat template in Jinja, as models have it in their `tokenizer_config.json`. One of `text` and `file`."""

    text: Annotated[FilledText | None, OrNone] = None
    """The template itself."""
    file: Annotated[FilledText | None, OrNone] = None
    """The file it is in, named from the folder of this one."""
    bos_token: Text = ""
    """What the template knows by that name."""
    eos_token: Text = ""
    """The same; it ends a reply, too."""
    stop: tuple[FilledText, ...] = ()
    """What else ends a reply."""


class AwsSettings(Section):
    """Where an endpoint of AWS is, and who signs. Without an access key: whoever this machine is, by the environment,
    a profile or its role."""

    region: Annotated[Name, Field(pattern=r"^[a-z]{2}(-[a-z]+)+-\d+$")]
    """Such as eu-central-1."""
    access_key_id: Annotated[FilledText | None, OrNone] = None
    """With `secret_access_key`."""
    secret_access_key: FilledSecret | None = None
    """With `access_key_id`."""
    session_token: FilledSecret | None = None
    """Of temporary keys."""
    profile: Annotated[Name | None, OrNone] = None
    """Of the shared configuration files."""
