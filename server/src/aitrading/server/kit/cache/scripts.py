"""Scripts for what takes more than one command; each declares every key it touches.

They use commands that Redis 7, Valkey and Dragonfly document alike, and no others.
"""

from typing import Final

SPEND: Final = """
local total = tonumber(redis.call('GET', KEYS[1]) or '0')
if total + tonumber(ARGV[1]) > tonumber(ARGV[2]) then
  return {0, total, math.max(0, redis.call('PTTL', KEYS[1]))}
end
total = redis.call('INCRBY', KEYS[1], ARGV[1])
local left = redis.call('PTTL', KEYS[1])
if left < 0 then
  redis.call('PEXPIRE', KEYS[1], ARGV[3])
  left = tonumber(ARGV[3])
end
return {1, total, left}
"""
GRANT: Final = """
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000000 + tonumber(time[2])
local ahead, wait, by = {}, 0, 0
for i, key in ipairs(KEYS) do
  local interval, burst = tonumber(ARGV[3 * i - 2]), tonumber(ARGV[3 * i - 1])
  local owed = math.max(0, tonumber(redis.call('GET', key) or '0') - now)
  ahead[i] = math.min(owed, burst * interval)
  local late = ahead[i] - (burst - 1) * interval
  if late > wait then wait, by = late, i end
end
if by > 0 then return {by, wait} end
local answer = {0, 0}
for i, key in ipairs(KEYS) do
  local interval, burst = tonumber(ARGV[3 * i - 2]), tonumber(ARGV[3 * i - 1])
  local room = math.floor((burst * interval - ahead[i]) / interval)
  local number = math.min(tonumber(ARGV[3 * i]), room)
  local owed = ahead[i] + number * interval
  redis.call('SET', key, string.format('%.0f', now + owed), 'PX', math.ceil(owed / 1000))
  answer[2 * i + 1], answer[2 * i + 2] = number, room - number
end
return answer
"""
ACQUIRE: Final = """
if redis.call('EXISTS', KEYS[1]) == 1 then return 0 end
local fence = tonumber(redis.call('GET', KEYS[2]) or '0') + 1
if fence < tonumber(ARGV[3]) then fence = tonumber(ARGV[3]) end
redis.call('SET', KEYS[2], string.format('%.0f', fence))
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return fence
"""
RENEW: Final = """
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
return redis.call('PEXPIRE', KEYS[1], ARGV[2])
"""
RELEASE: Final = """
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
return redis.call('DEL', KEYS[1])
"""
PUT_FENCED: Final = """
local highest = tonumber(redis.call('GET', KEYS[2]) or '0')
if highest > tonumber(ARGV[4]) then return 0 end
redis.call('SET', KEYS[2], ARGV[4], 'PX', ARGV[3])
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return 1
"""
