"""Which rules the modelled relay keeps. Each switch is a mutation of the protocol: off, it must be found."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Rules:
    """All on: the relay as it is. Those from `taking_turns` on are protocol 7's candidate, no part of the product."""

    barrier: bool = True  # rule 1: W2 is durable before the Kafka commit
    renewal: bool = True  # rule 4: a producer that saw anything unclean starts no further transaction
    bound_from_rows: bool = True  # rule 10: off, the lower id bound is where the sequence stood at A
    from_xmax: bool = True  # W1 and W3: tx >= xmax(A); off, tx > xmax(A)
    lease_before_init: bool = True  # rule 11: off, a renewal initialises its producer, and then checks the lease
    lease_before_producer: bool = True  # rule 11: off, a relay that stands by has its producer initialised already
    lease_before_retry: bool = True  # rule 11: off, an init that has to wait is repeated, and no lease checked between
    to_end_offset: bool = True  # rule 3: off, the position is read to the end of what is stable
    own_partition: bool = True  # rule 3: off, another shard writes its positions to the same partition
    order_by_id: bool = True  # rule 7: off, a page is ordered by (tx, id)
    taking_turns: bool = False  # pages alternate between two transactional ids
    both_initialised_first: bool = True  # of those: both ids are initialised before the position is read
    fixed_order: bool = True  # of those: every relay initialises them in the same order
    clean_before_next_end: bool = True  # of those: EndTxn only after the page before was judged clean
    unclean_renews_both: bool = True  # of those: anything unclean on one renews both


AS_IT_IS = Rules()
