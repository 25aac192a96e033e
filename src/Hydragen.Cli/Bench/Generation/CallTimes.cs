using System.Text.Json;

namespace Hydragen.Cli.Bench;

/// <summary>Seconds of a call, or of several that belong together.</summary>
/// <param name="All">From beginning to end.</param>
/// <param name="Prefill">For prompts, copies of prefixes included.</param>
/// <param name="Decode">For all new tokens but the first of each sequence.</param>
internal readonly record struct CallTimes(double All, double Prefill, double Decode)
{
    /// <summary>Writes rounds as three arrays.</summary>
    public static void Write(Utf8JsonWriter json, IReadOnlyList<CallTimes> rounds)
    {
        json.WriteNumbers("seconds", rounds.Select(round => round.All));
        json.WriteNumbers("prefill_seconds", rounds.Select(round => round.Prefill));
        json.WriteNumbers("decode_seconds", rounds.Select(round => round.Decode));
    }

    /// <summary>What <see cref="Write"/> wrote.</summary>
    public static CallTimes[] Read(JsonElement line)
    {
        double[] all = line.ReadNumbers("seconds"), prefill = line.ReadNumbers("prefill_seconds"), decode = line.ReadNumbers("decode_seconds");
        return [.. all.Select((seconds, i) => new CallTimes(seconds, prefill[i], decode[i]))];
    }
}
