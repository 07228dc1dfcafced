-- Closures, coroutines, metatables, pcall and error, strings, sorting.
local seed = 42
local function random(n)
  seed = (seed * 1103515245 + 12345) % 2147483648
  return seed // 65536 % n
end

local Account = {}
Account.__index = Account
Account.__add = function(a, b) return Account.new(a.balance + b.balance) end
function Account.new(balance) return setmetatable({ balance = balance }, Account) end
function Account:draw(amount)
  if amount > self.balance then error({ missing = amount - self.balance }) end
  if amount % 13 == 0 then error("unlucky " .. amount) end
  self.balance = self.balance - amount
  return self.balance
end

local function permutations(list)
  local function visit(n)
    if n == 0 then coroutine.yield(list) end
    for i = 1, n do
      list[n], list[i] = list[i], list[n]
      visit(n - 1)
      list[n], list[i] = list[i], list[n]
    end
  end
  return coroutine.wrap(function() visit(#list) end)
end

local function counter()
  local count = 0
  return function(step)
    count = count + step
    if count % 97 == 0 then error("at " .. count, 0) end
    return count
  end
end

local total, failures = 0, {}
for round = 1, 60 do
  local account = Account.new(500) + Account.new(random(500))
  for _ = 1, 30 do
    local ok, result = pcall(account.draw, account, random(120))
    if ok then
      total = total + result
    elseif type(result) == "table" then
      total = total + result.missing
      account = Account.new(800)
    else
      failures[#failures + 1] = result:match("unlucky %d+")
    end
  end
  -- An error that crosses a coroutine and two protected calls.
  local step = counter()
  local thread = coroutine.create(function(first)
    local sum = first
    while true do
      local ok, value = pcall(step, coroutine.yield(sum))
      sum = sum + (ok and value or #value)
      if sum > 20000 then error("full") end
    end
  end)
  coroutine.resume(thread, round)
  for i = 1, 40 do
    local alive, value = coroutine.resume(thread, i % 7 + round)
    total = total + (alive and value or #tostring(value))
  end
  local words = {}
  for word in ("the quick brown fox jumps over the lazy dog"):gmatch("%a+") do
    words[#words + 1] = word:upper():reverse() .. random(10)
  end
  table.sort(words, function(a, b) return a:sub(2) < b:sub(2) end)
  for list in permutations({ 1, 2, 3, 4 }) do total = total + list[1] * list[4] end
  if round % 12 == 0 then
    print(round, total, #failures, table.concat(words, " ", 1, 4), (("%08.3f"):format(total / 7)))
  end
end
print(select(2, xpcall(function() local nothing; return nothing.field end, function(text)
  return "handled: " .. text:gsub("^.-:%d+: ", "")
end)))
print("total", total, failures[#failures], collectgarbage("count") > 0)
