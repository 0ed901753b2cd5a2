"""A judge for tests: scores answers by their steps and verdict, or each step by its number, or fails."""

import json
import sys


def reply(item):
    if sys.argv[1] == "fails":  # in the third batch of eight answers
        return {"id": item["id"], "score": 1} if item["id"] < 16 else sys.exit(1)
    if sys.argv[1] == "answer":
        return {"id": item["id"], "score": len(item["steps"]) / 10 + item["right"]}
    return {"id": item["id"], "scores": list(range(len(item["steps"])))}


for line in sys.stdin:
    print(json.dumps(reply(json.loads(line))), flush=True)
