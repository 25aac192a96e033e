using System.Text;

namespace Hydragen.Cli.Demo;

/// <summary>A sentence with <c>{slot}</c> placeholders, cut once into literals and slot names.</summary>
internal sealed class Template
{
    private Template(string[] literals, string[] slots)
    {
        Literals = literals;
        Slots = slots;
    }

    /// <summary>The text around the slots: one more than there are slots.</summary>
    public IReadOnlyList<string> Literals { get; }

    /// <summary>The slot names in order of appearance.</summary>
    public IReadOnlyList<string> Slots { get; }

    /// <summary>Cuts <paramref name="text"/> at its placeholders.</summary>
    /// <exception cref="FormatException">A brace is not closed.</exception>
    public static Template Parse(string text)
    {
        List<string> literals = [], slots = [];
        int start = 0;
        for (int open = text.IndexOf('{'); open >= 0; open = text.IndexOf('{', start))
        {
            int close = text.IndexOf('}', open);
            if (close < 0)
                throw new FormatException($"The template \"{text}\" has a '{{' without '}}'.");
            literals.Add(text[start..open]);
            slots.Add(text[(open + 1)..close]);
            start = close + 1;
        }

        literals.Add(text[start..]);
        return new Template([.. literals], [.. slots]);
    }

    /// <summary>Fills every slot with its value.</summary>
    public string Render(IReadOnlyDictionary<string, string> values)
    {
        StringBuilder text = new(Literals[0]);
        for (int i = 0; i < Slots.Count; i++)
            text.Append(values[Slots[i]]).Append(Literals[i + 1]);
        return text.ToString();
    }
}
