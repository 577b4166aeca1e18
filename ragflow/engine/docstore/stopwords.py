"""Words that say nothing about what a question is after. They are dropped from queries, never from the index."""

from __future__ import annotations

import re

STOP_WORDS = frozenset(
    """
    a about am an and any are as at be been being but by can could did do does doing for from had has have having he
    her hers him his how i if in into is it its itself just let me may might my no nor not of on onto or our ours
    please s shall she should so such t tell than that the their theirs them then there these they this those to too
    us was we were what when where whether which while who whom whose why will with would you your yours d ll m re ve
    """.split()  # noqa: SIM905 - a list of literals would fill a page
)

# Chinese and Japanese write no blanks, so their question words are cut out of the text before it is split.
QUESTION_PHRASES = re.compile(
    "什么时候|什么样|什么|甚么|怎么样|怎么|怎样|为什么|为何|如何|多少|哪一|哪些|哪个|哪里|哪儿|哪|是谁|谁|几个|请问|是否|是不是"
    "|什麼|為什麼|為何|怎麼|哪裡|吗|呢|嗎|吧|的|了"
    "|何ですか|ですか|でしょうか|とは|なぜ|どこ|どの|いつ|だれ|どう"
)
