package rush

// District is one of Seoul's, with its public health centre.
type District struct{ ID, Ko, En string }

// Districts are Seoul's 25.
func Districts() []District {
	return []District{
		{"jongno", "종로구", "Jongno-gu"}, {"jung", "중구", "Jung-gu"}, {"yongsan", "용산구", "Yongsan-gu"},
		{"seongdong", "성동구", "Seongdong-gu"}, {"gwangjin", "광진구", "Gwangjin-gu"}, {"dongdaemun", "동대문구", "Dongdaemun-gu"},
		{"jungnang", "중랑구", "Jungnang-gu"}, {"seongbuk", "성북구", "Seongbuk-gu"}, {"gangbuk", "강북구", "Gangbuk-gu"},
		{"dobong", "도봉구", "Dobong-gu"}, {"nowon", "노원구", "Nowon-gu"}, {"eunpyeong", "은평구", "Eunpyeong-gu"},
		{"seodaemun", "서대문구", "Seodaemun-gu"}, {"mapo", "마포구", "Mapo-gu"}, {"yangcheon", "양천구", "Yangcheon-gu"},
		{"gangseo", "강서구", "Gangseo-gu"}, {"guro", "구로구", "Guro-gu"}, {"geumcheon", "금천구", "Geumcheon-gu"},
		{"yeongdeungpo", "영등포구", "Yeongdeungpo-gu"}, {"dongjak", "동작구", "Dongjak-gu"}, {"gwanak", "관악구", "Gwanak-gu"},
		{"seocho", "서초구", "Seocho-gu"}, {"gangnam", "강남구", "Gangnam-gu"}, {"songpa", "송파구", "Songpa-gu"},
		{"gangdong", "강동구", "Gangdong-gu"},
	}
}
