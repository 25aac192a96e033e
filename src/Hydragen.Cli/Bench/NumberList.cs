using System.CommandLine;
using System.Globalization;

namespace Hydragen.Cli.Bench;

/// <summary>Options that take the values of a sweep: <c>1,8,32</c>, ranges <c>0..512..16</c> among them.</summary>
internal static class NumberList
{
    /// <summary>The most values of a list.</summary>
    public const int MaxCount = 1000;

    /// <summary>An option without a default; see <see cref="Get"/>.</summary>
    public static Option<int[]> Option(string name, string description, int min, int max) => new(name)
    {
        Description = description,
        HelpName = "n,n,..",
        CustomParser = result =>
        {
            string text = result.Tokens[0].Value;
            int[]? values = Parse(text);
            if (values is null) result.AddError($"{name} takes numbers like 1,8,32 or 0..512..16 (first..last..step), at most {MaxCount} of them, not '{text}'");
            else if (values.Any(value => value < min || value > max)) result.AddError($"{name} takes numbers from {min} to {max}, not '{text}'");
            return values ?? [];
        },
    };

    /// <summary>The values that were given, or others when the option was not.</summary>
    public static IReadOnlyList<int> Get(ParseResult parsed, Option<int[]> option, params IReadOnlyList<int> otherwise) =>
        parsed.GetResult(option) is null ? otherwise : parsed.GetValue(option)!;

    /// <summary>The values of a list, or null when it is malformed.</summary>
    public static int[]? Parse(string text)
    {
        var values = new List<int>();
        foreach (string item in text.Split(','))
        {
            var numbers = new List<int>();
            foreach (string part in item.Split(".."))
            {
                if (!int.TryParse(part, NumberStyles.None, CultureInfo.InvariantCulture, out int number)) return null;
                numbers.Add(number);
            }
            if (numbers.Count > 3) return null;
            (int first, int last, int step) = (numbers[0], numbers.Count > 1 ? numbers[1] : numbers[0], numbers.Count > 2 ? numbers[2] : 1);
            if (step < 1 || last < first) return null;
            for (long value = first; value <= last; value += step)
            {
                if (values.Count == MaxCount) return null;
                values.Add((int)value);
            }
        }
        return [.. values];
    }
}
