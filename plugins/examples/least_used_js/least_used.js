// Placement on the site with the fewest bytes for its weight, in JavaScript. Settings: {} or {"spread": true}, which counts the shards
// of the same question first.

function isOpenTo(site, subject) {
  const fits = site.capacityBytes === undefined || site.usedBytes + subject.expectedBytes <= site.capacityBytes;
  return site.healthy && site.weight > 0 && fits;
}

export const assigner = {
  assign(settings, subjects, sites) {
    let wanted;
    try {
      wanted = JSON.parse(settings);
    } catch (error) {
      throw { tag: "invalid", val: `settings: ${error.message}` };
    }
    const taken = sites.map(() => 0);
    const cost = (place) => [wanted.spread ? taken[place] : 0, Number(sites[place].usedBytes) / sites[place].weight, sites[place].shards];
    const before = (a, b) => {
      const [left, right] = [cost(a), cost(b)];
      const at = left.findIndex((part, i) => part !== right[i]);
      return at >= 0 && left[at] < right[at];
    };
    return subjects.map((subject) => {
      let best = -1;
      sites.forEach((site, place) => {
        if (isOpenTo(site, subject) && (best < 0 || before(place, best))) best = place;
      });
      if (best < 0) {
        throw { tag: "no-room", val: `no healthy site has room for shard ${subject.shard} of ${subject.collection}` };
      }
      taken[best] += 1;
      sites[best].usedBytes += subject.expectedBytes;
      sites[best].shards += 1;
      return best;
    });
  },
};
