def minutes_for(requests, timeframe, what):
    return requests / 5.8
