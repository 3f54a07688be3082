"""What the simulator lists by itself: well-known names with invented numbers.

A line is one contract; `price` is about what it costs in 2025 and `millions` its shares outstanding (of a fund, its
units), from which volume and market value follow.
"""

from __future__ import annotations

from typing import NamedTuple


class Character(NamedTuple):
    """How a price moves. Rates are of one year; `daily_volume` is the usual number of units a day.

    Listings with one `process` move together: an index, the fund that holds it and its futures. `price` is the
    process's at the beginning of 2025, `scale` what one of its points costs here, `carry` the rate at which a future
    stands above it. `correlation` is with the market as a whole, `overnight` the part of the variance that falls
    between close and open, `memory` the years after which a third of a move is left.
    """

    process: str
    price: float
    volatility: float
    correlation: float
    growth: float = 0.05
    daily_volume: float = 1e6
    shares: float = 0.0
    dividend_yield: float = 0.0
    splits_a_year: float = 0.0
    scale: float = 1.0
    carry: float = 0.0
    halts_a_year: float = 0.0
    overnight: float = 0.25
    memory: float = 3.0
    has_earnings: bool = False


class StockRow(NamedTuple):
    symbol: str
    name: str
    exchange: str
    price: float
    volatility: float
    millions: float
    dividend_yield: float
    industry: str
    category: str
    since: int


# symbol | name | primary exchange | price | volatility % | millions of shares | dividend % | industry | category | year
_STOCKS = """
AAPL|APPLE INC|NASDAQ|230|28|15200|0.5|Technology|Computers|2005
MSFT|MICROSOFT CORP|NASDAQ|430|25|7430|0.8|Technology|Software|2005
NVDA|NVIDIA CORP|NASDAQ|135|50|24500|0.1|Technology|Semiconductors|2005
AMZN|AMAZON.COM INC|NASDAQ|205|33|10500|0|Communications|Internet|2005
GOOGL|ALPHABET INC-CL A|NASDAQ|175|29|5860|0.5|Communications|Internet|2005
GOOG|ALPHABET INC-CL C|NASDAQ|176|29|5500|0.5|Communications|Internet|2014
META|META PLATFORMS INC-CLASS A|NASDAQ|580|36|2190|0.4|Communications|Internet|2012
TSLA|TESLA INC|NASDAQ|340|58|3210|0|Consumer, Cyclical|Auto Manufacturers|2010
AVGO|BROADCOM INC|NASDAQ|170|38|4680|1.2|Technology|Semiconductors|2009
COST|COSTCO WHOLESALE CORP|NASDAQ|930|21|443|0.5|Consumer, Cyclical|Retail|2005
NFLX|NETFLIX INC|NASDAQ|880|38|427|0|Communications|Internet|2005
AMD|ADVANCED MICRO DEVICES|NASDAQ|138|48|1620|0|Technology|Semiconductors|2005
INTC|INTEL CORP|NASDAQ|24|42|4310|1.5|Technology|Semiconductors|2005
CSCO|CISCO SYSTEMS INC|NASDAQ|58|22|3990|2.8|Communications|Telecommunications|2005
PEP|PEPSICO INC|NASDAQ|158|17|1370|3.4|Consumer, Non-cyclical|Beverages|2005
ADBE|ADOBE INC|NASDAQ|510|33|440|0|Technology|Software|2005
QCOM|QUALCOMM INC|NASDAQ|157|36|1110|2.1|Technology|Semiconductors|2005
TXN|TEXAS INSTRUMENTS INC|NASDAQ|198|28|912|2.7|Technology|Semiconductors|2005
AMGN|AMGEN INC|NASDAQ|285|25|538|3.2|Consumer, Non-cyclical|Biotechnology|2005
GILD|GILEAD SCIENCES INC|NASDAQ|92|25|1250|3.3|Consumer, Non-cyclical|Biotechnology|2005
SBUX|STARBUCKS CORP|NASDAQ|99|28|1130|2.4|Consumer, Cyclical|Retail|2005
MU|MICRON TECHNOLOGY INC|NASDAQ|102|46|1110|0.4|Technology|Semiconductors|2005
AMAT|APPLIED MATERIALS INC|NASDAQ|178|39|815|0.9|Technology|Semiconductors|2005
PYPL|PAYPAL HOLDINGS INC|NASDAQ|86|40|1000|0|Consumer, Non-cyclical|Commercial Services|2015
MRNA|MODERNA INC|NASDAQ|42|62|385|0|Consumer, Non-cyclical|Biotechnology|2018
ABNB|AIRBNB INC-CLASS A|NASDAQ|135|40|634|0|Communications|Internet|2020
PLTR|PALANTIR TECHNOLOGIES INC-A|NASDAQ|66|65|2280|0|Technology|Software|2020
SMCI|SUPER MICRO COMPUTER INC|NASDAQ|33|78|586|0|Technology|Computers|2007
MARA|MARA HOLDINGS INC|NASDAQ|24|92|322|0|Financial|Diversified Financial Services|2012
COIN|COINBASE GLOBAL INC -CLASS A|NASDAQ|300|82|250|0|Financial|Diversified Financial Services|2021
RIVN|RIVIAN AUTOMOTIVE INC-A|NASDAQ|11|70|1020|0|Consumer, Cyclical|Auto Manufacturers|2021
LCID|LUCID GROUP INC|NASDAQ|2.2|75|3010|0|Consumer, Cyclical|Auto Manufacturers|2021
SIRI|SIRIUS XM HOLDINGS INC|NASDAQ|26|42|339|4.0|Communications|Media|2005
CMCSA|COMCAST CORP-CLASS A|NASDAQ|43|25|3820|2.9|Communications|Media|2005
TMUS|T-MOBILE US INC|NASDAQ|238|21|1160|1.4|Communications|Telecommunications|2007
BRK B|BERKSHIRE HATHAWAY INC-CL B|NYSE|470|16|2160|0|Financial|Insurance|2005
JPM|JPMORGAN CHASE & CO|NYSE|245|24|2810|2.0|Financial|Banks|2005
V|VISA INC-CLASS A SHARES|NYSE|310|20|1950|0.7|Financial|Diversified Financial Services|2008
MA|MASTERCARD INC - A|NYSE|525|22|918|0.5|Financial|Diversified Financial Services|2006
BAC|BANK OF AMERICA CORP|NYSE|46|27|7670|2.2|Financial|Banks|2005
WFC|WELLS FARGO & CO|NYSE|74|29|3330|2.1|Financial|Banks|2005
C|CITIGROUP INC|NYSE|69|28|1890|3.2|Financial|Banks|2005
GS|GOLDMAN SACHS GROUP INC|NYSE|595|27|314|2.0|Financial|Banks|2005
MS|MORGAN STANLEY|NYSE|132|27|1610|2.8|Financial|Banks|2005
XOM|EXXON MOBIL CORP|NYSE|120|24|4390|3.3|Energy|Oil&Gas|2005
CVX|CHEVRON CORP|NYSE|161|23|1800|4.1|Energy|Oil&Gas|2005
COP|CONOCOPHILLIPS|NYSE|112|28|1150|2.8|Energy|Oil&Gas|2005
OXY|OCCIDENTAL PETROLEUM CORP|NYSE|51|29|938|1.8|Energy|Oil&Gas|2005
JNJ|JOHNSON & JOHNSON|NYSE|155|16|2410|3.2|Consumer, Non-cyclical|Pharmaceuticals|2005
PFE|PFIZER INC|NYSE|25|24|5670|6.6|Consumer, Non-cyclical|Pharmaceuticals|2005
MRK|MERCK & CO. INC.|NYSE|99|23|2530|3.2|Consumer, Non-cyclical|Pharmaceuticals|2005
ABBV|ABBVIE INC|NYSE|177|23|1770|3.6|Consumer, Non-cyclical|Pharmaceuticals|2013
LLY|ELI LILLY & CO|NYSE|790|33|949|0.7|Consumer, Non-cyclical|Pharmaceuticals|2005
UNH|UNITEDHEALTH GROUP INC|NYSE|600|25|920|1.4|Consumer, Non-cyclical|Healthcare-Services|2005
WMT|WALMART INC|NYSE|90|19|8040|0.9|Consumer, Cyclical|Retail|2005
HD|HOME DEPOT INC|NYSE|415|22|993|2.2|Consumer, Cyclical|Retail|2005
NKE|NIKE INC -CL B|NYSE|78|30|1490|1.9|Consumer, Cyclical|Apparel|2005
MCD|MCDONALD'S CORP|NYSE|295|18|717|2.3|Consumer, Cyclical|Retail|2005
KO|COCA-COLA CO/THE|NYSE|64|14|4310|3.0|Consumer, Non-cyclical|Beverages|2005
PG|PROCTER & GAMBLE CO/THE|NYSE|177|16|2360|2.3|Consumer, Non-cyclical|Cosmetics/Personal Care|2005
DIS|WALT DISNEY CO/THE|NYSE|115|27|1810|0.8|Communications|Media|2005
BA|BOEING CO/THE|NYSE|155|35|748|0|Industrial|Aerospace/Defense|2005
CAT|CATERPILLAR INC|NYSE|395|28|483|1.4|Industrial|Machinery-Constr&Mining|2005
GE|GENERAL ELECTRIC|NYSE|182|29|1080|0.6|Industrial|Aerospace/Defense|2005
MMM|3M CO|NYSE|132|27|544|2.1|Industrial|Miscellaneous Manufactur|2005
HON|HONEYWELL INTERNATIONAL INC|NASDAQ|228|20|650|1.9|Industrial|Electronics|2005
UPS|UNITED PARCEL SERVICE-CL B|NYSE|134|27|853|4.9|Industrial|Transportation|2005
F|FORD MOTOR CO|NYSE|11|36|3970|5.4|Consumer, Cyclical|Auto Manufacturers|2005
GM|GENERAL MOTORS CO|NYSE|55|35|1100|0.9|Consumer, Cyclical|Auto Manufacturers|2010
T|AT&T INC|NYSE|23|20|7170|4.8|Communications|Telecommunications|2005
VZ|VERIZON COMMUNICATIONS INC|NYSE|42|20|4210|6.4|Communications|Telecommunications|2005
IBM|INTL BUSINESS MACHINES CORP|NYSE|225|21|925|3.0|Technology|Computers|2005
ORCL|ORACLE CORP|NYSE|190|30|2770|0.8|Technology|Software|2005
CRM|SALESFORCE INC|NYSE|330|33|956|0.5|Technology|Software|2005
UBER|UBER TECHNOLOGIES INC|NYSE|70|40|2110|0|Communications|Internet|2019
SHOP|SHOPIFY INC - CLASS A|NASDAQ|110|50|1290|0|Communications|Internet|2015
SNOW|SNOWFLAKE INC|NYSE|160|48|330|0|Technology|Software|2020
SQ|BLOCK INC|NYSE|92|50|620|0|Consumer, Non-cyclical|Commercial Services|2015
ACN|ACCENTURE PLC-CL A|NYSE|358|24|626|1.7|Technology|Computers|2005
LMT|LOCKHEED MARTIN CORP|NYSE|530|20|237|2.5|Industrial|Aerospace/Defense|2005
RTX|RTX CORP|NYSE|119|21|1330|2.1|Industrial|Aerospace/Defense|2005
NEE|NEXTERA ENERGY INC|NYSE|78|26|2060|2.6|Utilities|Electric|2005
DUK|DUKE ENERGY CORP|NYSE|115|18|772|3.6|Utilities|Electric|2005
FCX|FREEPORT-MCMORAN INC|NYSE|43|40|1440|1.4|Basic Materials|Mining|2005
NEM|NEWMONT CORP|NYSE|42|34|1130|2.4|Basic Materials|Mining|2005
DOW|DOW INC|NYSE|44|27|700|6.3|Basic Materials|Chemicals|2019
PLUG|PLUG POWER INC|NASDAQ|2.1|85|911|0|Industrial|Energy-Alternate Sources|2005
GME|GAMESTOP CORP-CLASS A|NYSE|28|80|447|0|Consumer, Cyclical|Retail|2005
AMC|AMC ENTERTAINMENT HLDS-CL A|NYSE|4.6|85|375|0|Consumer, Cyclical|Entertainment|2013
TUPZ|TUPELO MINING VENTURES INC|AMEX|0.62|110|180|0|Basic Materials|Mining|2009
ALPS|ALPINE SUMMIT HOLDINGS INC|NYSE|37|34|210|1.2|Industrial|Building Materials|2008
ALPS|ALPS ROYALTY TRUST|AMEX|12.5|28|44|5.5|Energy|Oil&Gas|2006
"""

_FUNDS = """
SPY|SPDR S&P 500 ETF TRUST|ARCA|590|17|1050|1.2|SPX|2005
IVV|ISHARES CORE S&P 500 ETF|ARCA|593|17|960|1.3|SPX|2005
VOO|VANGUARD S&P 500 ETF|ARCA|542|17|1020|1.2|SPX|2010
QQQ|INVESCO QQQ TRUST SERIES 1|NASDAQ|510|22|620|0.6|NDX|2005
TQQQ|PROSHARES ULTRAPRO QQQ|NASDAQ|76|62|320|1.1||2010
IWM|ISHARES RUSSELL 2000 ETF|ARCA|236|23|315|1.1||2005
DIA|SPDR DJIA TRUST|ARCA|443|16|83|1.6||2005
VTI|VANGUARD TOTAL STOCK MKT ETF|ARCA|295|17|1520|1.3||2005
EFA|ISHARES MSCI EAFE ETF|ARCA|78|16|690|3.0||2005
EEM|ISHARES MSCI EMERGING MARKET|ARCA|43|19|420|2.4||2005
GLD|SPDR GOLD SHARES|ARCA|245|15|300|0|GOLD|2005
SLV|ISHARES SILVER TRUST|ARCA|28|27|470|0||2006
USO|UNITED STATES OIL FUND LP|ARCA|73|33|15|0|OIL|2006
TLT|ISHARES 20+ YEAR TREASURY BD|NASDAQ|90|16|590|4.1||2005
IEF|ISHARES 7-10 YEAR TREASURY B|NASDAQ|93|8|350|3.5||2005
SHY|ISHARES 1-3 YEAR TREASURY BO|NASDAQ|82|2.2|290|3.9||2005
HYG|ISHARES IBOXX HIGH YLD CORP|ARCA|79|7|200|5.9||2007
LQD|ISHARES IBOXX INVESTMENT GRA|ARCA|109|9|280|4.3||2005
XLF|FINANCIAL SELECT SECTOR SPDR|ARCA|50|19|980|1.4||2005
XLK|TECHNOLOGY SELECT SECT SPDR|ARCA|233|24|310|0.7||2005
XLE|ENERGY SELECT SECTOR SPDR|ARCA|95|25|360|3.2||2005
XLV|HEALTH CARE SELECT SECTOR|ARCA|145|14|270|1.6||2005
XLU|UTILITIES SELECT SECTOR SPDR|ARCA|81|17|220|2.8||2005
SMH|VANECK SEMICONDUCTOR ETF|NASDAQ|242|34|95|0.4||2011
ARKK|ARK INNOVATION ETF|ARCA|57|42|110|0||2014
VXX|IPATH S&P 500 VIX S/T FU ETN|BATS|44|62|8|0||2009
"""


class PairRow(NamedTuple):
    base: str
    quote: str
    price: float
    volatility: float


class RootRow(NamedTuple):
    """Futures of one root: `months` are the letters of those listed, `process` what they are written on."""

    symbol: str
    name: str
    exchange: str
    trading_class: str
    process: str
    price: float
    volatility: float
    multiplier: str
    tick: float
    market_rule: int
    months: str
    carry: float
    daily_volume: float
    margin: float


MONTHS = "FGHJKMNQUVXZ"  # January to December
STOCKS = tuple(
    StockRow(s, n, x, float(p), float(v) / 100, float(m), float(d) / 100, i, c, int(y))
    for s, n, x, p, v, m, d, i, c, y in (line.split("|") for line in _STOCKS.split("\n") if line)
)
FUNDS = tuple(
    (StockRow(s, n, x, float(p), float(v) / 100, float(m), float(d) / 100, "Funds", "", int(y)), process)
    for s, n, x, p, v, m, d, process, y in (line.split("|") for line in _FUNDS.split("\n") if line)
)
PAIRS = tuple(
    PairRow(pair[:3], pair[4:], price, volatility)
    for pair, price, volatility in (
        ("EUR.USD", 1.0550, 0.075),
        ("GBP.USD", 1.2650, 0.085),
        ("AUD.USD", 0.6520, 0.10),
        ("NZD.USD", 0.5900, 0.10),
        ("USD.JPY", 154.50, 0.10),
        ("USD.CHF", 0.8840, 0.07),
        ("USD.CAD", 1.3980, 0.065),
        ("EUR.GBP", 0.8340, 0.055),
        ("EUR.JPY", 163.00, 0.09),
        ("EUR.CHF", 0.9330, 0.05),
        ("GBP.JPY", 195.50, 0.11),
        ("USD.SEK", 10.980, 0.095),
    )
)
ROOTS = (
    RootRow("ES", "E-mini S&P 500", "CME", "ES", "SPX", 5900, 0.17, "50", 0.25, 67, "HMUZ", 0.035, 1.4e6, 15_500),
    RootRow("NQ", "E-mini NASDAQ 100", "CME", "NQ", "NDX", 20700, 0.22, "20", 0.25, 67, "HMUZ", 0.035, 6e5, 23_000),
    RootRow("MES", "Micro E-mini S&P 500", "CME", "MES", "SPX", 5900, 0.17, "5", 0.25, 67, "HMUZ", 0.035, 1e6, 1_550),
    RootRow("CL", "Light Sweet Crude Oil", "NYMEX", "CL", "OIL", 69, 0.36, "1000", 0.01, 32, MONTHS, -0.02, 3e5, 6_200),
    RootRow("GC", "Gold", "COMEX", "GC", "GOLD", 2660, 0.15, "100", 0.1, 33, "GJMQVZ", 0.04, 1.8e5, 11_000),
)
