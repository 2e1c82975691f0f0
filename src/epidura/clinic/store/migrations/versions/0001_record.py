"""The record as of the first version."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    op.create_table('access',
        sa.Column('id', sa.BigInteger().with_variant(sa.Integer(), 'sqlite'), autoincrement=True, nullable=False),
        sa.Column('at', sa.String(length=32), nullable=False),
        sa.Column('person', sa.String(length=64), nullable=False),
        sa.Column('role', sa.String(length=16), nullable=False),
        sa.Column('address', sa.String(length=64), nullable=False),
        sa.Column('method', sa.String(length=8), nullable=False),
        sa.Column('route', sa.String(length=200), nullable=False),
        sa.Column('patient', sa.String(length=32), server_default='', nullable=False),
        sa.Column('status', sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint('id')
    )
    op.create_index('access_patient', 'access', ['patient', 'id'], unique=False)
    op.create_table('attempt',
        sa.Column('id', sa.Integer(), autoincrement=True, nullable=False),
        sa.Column('login', sa.String(length=200), nullable=False),
        sa.Column('address', sa.String(length=64), nullable=False),
        sa.Column('at', sa.String(length=32), nullable=False),
        sa.PrimaryKeyConstraint('id')
    )
    op.create_index('attempt_address', 'attempt', ['address', 'at'], unique=False)
    op.create_index('attempt_login', 'attempt', ['login', 'at'], unique=False)
    op.create_table('diary',
        sa.Column('patient', sa.String(length=32), nullable=False),
        sa.Column('day', sa.String(length=10), nullable=False),
        sa.Column('version', sa.Integer(), nullable=False),
        sa.Column('worst', sa.Float(), nullable=True),
        sa.Column('average', sa.Float(), nullable=True),
        sa.Column('least', sa.Float(), nullable=True),
        sa.Column('sleep', sa.Float(), nullable=True),
        sa.Column('activity', sa.Float(), nullable=True),
        sa.Column('medication', sa.Float(), nullable=True),
        sa.Column('stimulation_hours', sa.Float(), nullable=True),
        sa.Column('slot', sa.String(length=200), nullable=True),
        sa.Column('tingling', sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint('patient', 'day')
    )
    op.create_table('event',
        sa.Column('seq', sa.BigInteger().with_variant(sa.Integer(), 'sqlite'), autoincrement=False, nullable=False),
        sa.Column('patient', sa.String(length=32), server_default='', nullable=False),
        sa.Column('version', sa.Integer(), nullable=False),
        sa.Column('kind', sa.String(length=40), nullable=False),
        sa.Column('day', sa.String(length=10), nullable=False),
        sa.Column('recorded', sa.String(length=32), nullable=False),
        sa.Column('actor', sa.String(length=64), nullable=False),
        sa.Column('request', sa.String(length=80), nullable=True),
        sa.Column('body', sa.Text(), nullable=False),
        sa.Column('previous', sa.String(length=64), nullable=False),
        sa.Column('hash', sa.String(length=64), nullable=False),
        sa.PrimaryKeyConstraint('seq'),
        sa.UniqueConstraint('patient', 'version', name='event_patient_version'),
        sa.UniqueConstraint('request', name='event_request')
    )
    op.create_table('head',
        sa.Column('id', sa.Integer(), autoincrement=False, nullable=False),
        sa.Column('seq', sa.BigInteger(), nullable=False),
        sa.Column('hash', sa.String(length=64), nullable=False),
        sa.Column('recorded', sa.String(length=32), nullable=False),
        sa.PrimaryKeyConstraint('id')
    )
    op.create_table('link',
        sa.Column('token', sa.String(length=64), nullable=False),
        sa.Column('patient', sa.String(length=32), nullable=False),
        sa.Column('person', sa.String(length=32), nullable=False),
        sa.Column('created', sa.String(length=32), nullable=False),
        sa.Column('expires', sa.String(length=32), nullable=False),
        sa.Column('used', sa.String(length=32), nullable=True),
        sa.PrimaryKeyConstraint('token')
    )
    op.create_index(op.f('ix_link_patient'), 'link', ['patient'], unique=False)
    op.create_table('patient',
        sa.Column('id', sa.String(length=32), nullable=False),
        sa.Column('pseudonym', sa.String(length=16), nullable=False),
        sa.Column('version', sa.Integer(), nullable=False),
        sa.Column('revision', sa.Integer(), nullable=False),
        sa.Column('stage', sa.String(length=24), nullable=False),
        sa.Column('since', sa.String(length=10), nullable=False),
        sa.Column('indication', sa.String(length=60), server_default='', nullable=False),
        sa.Column('state', sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint('id'),
        sa.UniqueConstraint('pseudonym')
    )
    op.create_index('patient_stage', 'patient', ['stage', 'since'], unique=False)
    op.create_table('person',
        sa.Column('id', sa.String(length=32), nullable=False),
        sa.Column('name', sa.String(length=200), nullable=False),
        sa.Column('login', sa.String(length=200), nullable=False),
        sa.Column('role', sa.String(length=16), nullable=False),
        sa.Column('password', sa.String(length=200), server_default='', nullable=False),
        sa.Column('patient', sa.String(length=32), nullable=True),
        sa.Column('subject', sa.String(length=300), nullable=True),
        sa.Column('active', sa.Boolean(), server_default=sa.text('true'), nullable=False),
        sa.Column('created', sa.String(length=32), nullable=False),
        sa.PrimaryKeyConstraint('id'),
        sa.UniqueConstraint('login'),
        sa.UniqueConstraint('subject')
    )
    op.create_table('secret',
        sa.Column('patient', sa.String(length=32), nullable=False),
        sa.Column('wrapped', sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint('patient')
    )
    op.create_table('session',
        sa.Column('token', sa.String(length=64), nullable=False),
        sa.Column('person', sa.String(length=32), nullable=False),
        sa.Column('csrf', sa.String(length=64), nullable=False),
        sa.Column('created', sa.String(length=32), nullable=False),
        sa.Column('seen', sa.String(length=32), nullable=False),
        sa.Column('expires', sa.String(length=32), nullable=False),
        sa.PrimaryKeyConstraint('token')
    )
    op.create_index(op.f('ix_session_person'), 'session', ['person'], unique=False)
    op.bulk_insert(sa.table("head", sa.column("id"), sa.column("seq"), sa.column("hash"), sa.column("recorded")),
                   [{"id": 1, "seq": 0, "hash": "0" * 64, "recorded": ""}])
