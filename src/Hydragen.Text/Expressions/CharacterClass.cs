using System.Globalization;

namespace Hydragen.Text.Expressions;

/// <summary>A set of code points: ranges, general categories and white space, each possibly negated. Read-only once built.</summary>
internal sealed class CharacterClass
{
    private readonly List<(int First, int Last)> _ranges = [];
    private readonly bool[] _isAsciiMember = new bool[128];
    private uint _categories;
    private bool _hasWhiteSpace;
    private bool _hasOtherThanWhiteSpace;
    private bool _isNegated;

    public void AddRange(int first, int last) => _ranges.Add((first, last));

    /// <summary>Adds the code points whose general category is in the mask; bit numbers are those of <see cref="UnicodeCategory"/>.</summary>
    public void AddCategories(uint mask) => _categories |= mask;

    public void AddWhiteSpace(bool isNegated)
    {
        _hasWhiteSpace |= !isNegated;
        _hasOtherThanWhiteSpace |= isNegated;
    }

    public void Negate() => _isNegated = true;

    /// <summary>Ends building.</summary>
    public CharacterClass Complete()
    {
        for (int value = 0; value < _isAsciiMember.Length; value++)
            _isAsciiMember[value] = Compute(value, CharUnicodeInfo.GetUnicodeCategory(value));
        return this;
    }

    public bool Contains(int value, UnicodeCategory category) => value < 128 ? _isAsciiMember[value] : Compute(value, category);

    private bool Compute(int value, UnicodeCategory category)
    {
        bool isMember = (_categories >> (int)category & 1) != 0;
        if (!isMember && (_hasWhiteSpace || _hasOtherThanWhiteSpace))
            isMember = value <= 0xFFFF && char.IsWhiteSpace((char)value) ? _hasWhiteSpace : _hasOtherThanWhiteSpace;
        for (int i = 0; !isMember && i < _ranges.Count; i++)
            isMember = value >= _ranges[i].First && value <= _ranges[i].Last;
        return isMember != _isNegated;
    }
}
