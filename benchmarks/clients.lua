-- Many clients in turn, each with its cookie: wrk ... -s clients.lua URL -- FILE
local requests = {}
local turn = 0

function init(arguments)
  for cookie in io.lines(arguments[1]) do
    requests[#requests + 1] = wrk.format("GET", nil, { ["Cookie"] = cookie })
  end
end

function request()
  turn = turn % #requests + 1
  return requests[turn]
end
